"""The one table from domain errors to HTTP: status and retry advice."""

from dataclasses import dataclass

import orjson

from modelservice_runtime.errors import (
    DeadlineExceededError,
    DeviceLostError,
    InferenceFailedError,
    InvalidRequestError,
    ModelUnavailableError,
    NotFoundError,
    OutputTooLargeError,
    OverloadedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ServingError,
    UnauthenticatedError,
    UnsupportedEncodingError,
    UnsupportedOperationError,
)
from modelservice_runtime.server.http import HttpResponse


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """How one kind of error is answered; ``headers`` are extra pairs."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()


_RETRY_SOON = ((b"Retry-After", b"1"),)
# RFC 6750, 3.
_CHALLENGE = ((b"WWW-Authenticate", b'Bearer realm="modelservice"'),)
_SCOPE_CHALLENGE = ((b"WWW-Authenticate", b'Bearer realm="modelservice", error="insufficient_scope"'),)

ERRORS: dict[type[ServingError], ErrorMapping] = {
    InvalidRequestError: ErrorMapping(400),
    UnauthenticatedError: ErrorMapping(401, _CHALLENGE),
    PermissionDeniedError: ErrorMapping(403, _SCOPE_CHALLENGE),
    NotFoundError: ErrorMapping(404),
    PayloadTooLargeError: ErrorMapping(413),
    UnsupportedEncodingError: ErrorMapping(415, headers=((b"Accept-Encoding", b"gzip, deflate"),)),
    OverloadedError: ErrorMapping(429, _RETRY_SOON),
    InferenceFailedError: ErrorMapping(500),
    UnsupportedOperationError: ErrorMapping(501),
    ModelUnavailableError: ErrorMapping(503, _RETRY_SOON),
    DeviceLostError: ErrorMapping(503, _RETRY_SOON),
    DeadlineExceededError: ErrorMapping(504),
    OutputTooLargeError: ErrorMapping(507),
}


def error_response(error: ServingError) -> HttpResponse:
    """Turn a domain error into the protocol's ``{"error": "..."}``."""
    mapping = ERRORS[type(error)]
    return HttpResponse(mapping.status, error_body(str(error)), headers=mapping.headers)


def error_body(sentence: str) -> bytes:
    """The error body of OIP and of TensorFlow Serving alike."""
    return orjson.dumps({"error": sentence})
