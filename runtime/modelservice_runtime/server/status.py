"""The one table from domain errors to HTTP: status, retry advice, and Triton's failure reason."""

from dataclasses import dataclass

import orjson

from modelservice_runtime.errors import (
    DeadlineExceededError,
    InferenceFailedError,
    InvalidRequestError,
    ModelUnavailableError,
    NotFoundError,
    OutputTooLargeError,
    OverloadedError,
    PayloadTooLargeError,
    ServingError,
    UnsupportedEncodingError,
    UnsupportedOperationError,
)
from modelservice_runtime.server.http import HttpResponse


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """``failure_reason`` is the label of nv_inference_request_failure."""

    status: int
    failure_reason: str = "OTHER"
    headers: tuple[tuple[bytes, bytes], ...] = ()


_RETRY_SOON = ((b"Retry-After", b"1"),)

ERRORS: dict[type[ServingError], ErrorMapping] = {
    InvalidRequestError: ErrorMapping(400),
    NotFoundError: ErrorMapping(404),
    PayloadTooLargeError: ErrorMapping(413),
    UnsupportedEncodingError: ErrorMapping(415, headers=((b"Accept-Encoding", b"gzip, deflate"),)),
    OverloadedError: ErrorMapping(429, "REJECTED", _RETRY_SOON),
    InferenceFailedError: ErrorMapping(500, "BACKEND"),
    UnsupportedOperationError: ErrorMapping(501),
    ModelUnavailableError: ErrorMapping(503, "REJECTED", _RETRY_SOON),
    DeadlineExceededError: ErrorMapping(504, "REJECTED"),
    OutputTooLargeError: ErrorMapping(507, "BACKEND"),
}


def error_response(error: ServingError) -> HttpResponse:
    """Turn a domain error into the protocol's ``{"error": "..."}``."""
    mapping = ERRORS[type(error)]
    return HttpResponse(mapping.status, error_body(str(error)), headers=mapping.headers)


def error_body(sentence: str) -> bytes:
    """The error body of OIP and of TensorFlow Serving alike."""
    return orjson.dumps({"error": sentence})
