"""The one table from domain errors to protocols: HTTP status and retry advice, gRPC status.

It stands below the protocols: a transport refuses on its own what it does not read.
"""

from dataclasses import dataclass
from enum import IntEnum
from json import JSONEncoder

from modelservice_runtime.errors import (
    DeadlineExceededError,
    DeviceLostError,
    InferenceFailedError,
    InputRefusedError,
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
from modelservice_runtime.transport.http import HttpResponse

# Unlike orjson it raises MemoryError where there is none, and does not end the process.
_quoted = JSONEncoder(ensure_ascii=False).encode


class GrpcStatus(IntEnum):
    """The status codes of gRPC (grpc `doc/statuscodes.md`)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class GrpcError(Exception):
    """Ends a call with `status`; `message` is the sentence for the client.

    A service, and `CallHandler.on_message` and `on_end`, may raise it in place of calling `finish`.
    """

    def __init__(self, status: GrpcStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """How one kind of error is answered; `headers` are extra pairs of an HTTP answer."""

    status: int
    grpc_status: GrpcStatus
    headers: tuple[tuple[bytes, bytes], ...] = ()


_ENCODINGS = ((b"Accept-Encoding", b"gzip, deflate"),)
_RETRY_SOON = ((b"Retry-After", b"1"),)
# RFC 6750, 3.
_CHALLENGE = ((b"WWW-Authenticate", b'Bearer realm="modelservice"'),)
_SCOPE_CHALLENGE = ((b"WWW-Authenticate", b'Bearer realm="modelservice", error="insufficient_scope"'),)

ERRORS: dict[type[ServingError], ErrorMapping] = {
    InvalidRequestError: ErrorMapping(400, GrpcStatus.INVALID_ARGUMENT),
    InputRefusedError: ErrorMapping(400, GrpcStatus.INVALID_ARGUMENT),
    UnauthenticatedError: ErrorMapping(401, GrpcStatus.UNAUTHENTICATED, _CHALLENGE),
    PermissionDeniedError: ErrorMapping(403, GrpcStatus.PERMISSION_DENIED, _SCOPE_CHALLENGE),
    NotFoundError: ErrorMapping(404, GrpcStatus.NOT_FOUND),
    PayloadTooLargeError: ErrorMapping(413, GrpcStatus.RESOURCE_EXHAUSTED),
    UnsupportedEncodingError: ErrorMapping(415, GrpcStatus.UNIMPLEMENTED, _ENCODINGS),
    OverloadedError: ErrorMapping(429, GrpcStatus.RESOURCE_EXHAUSTED),
    InferenceFailedError: ErrorMapping(500, GrpcStatus.INTERNAL),
    UnsupportedOperationError: ErrorMapping(501, GrpcStatus.UNIMPLEMENTED),
    ModelUnavailableError: ErrorMapping(503, GrpcStatus.UNAVAILABLE, _RETRY_SOON),
    DeviceLostError: ErrorMapping(503, GrpcStatus.UNAVAILABLE, _RETRY_SOON),
    DeadlineExceededError: ErrorMapping(504, GrpcStatus.DEADLINE_EXCEEDED),
    OutputTooLargeError: ErrorMapping(507, GrpcStatus.RESOURCE_EXHAUSTED),
}


def mapping_of(error: ServingError) -> ErrorMapping:
    """How an error is answered: as the kind of which it is, if not by its own."""
    return next(ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS)


def error_response(error: ServingError) -> HttpResponse:
    """Turn a domain error into the protocol's `{"error": "..."}`."""
    mapping = mapping_of(error)
    headers = mapping.headers
    if isinstance(error, OverloadedError):
        headers = ((b"Retry-After", b"%d" % error.retry_after_seconds),)
    return HttpResponse(mapping.status, error_body(str(error)), headers=headers)


def grpc_error(error: ServingError) -> GrpcError:
    """Turn a domain error into the end of a call."""
    return GrpcError(mapping_of(error).grpc_status, str(error))


def error_body(sentence: str) -> bytes:
    """The error body of OIP and of TensorFlow Serving alike. Raises MemoryError."""
    return b'{"error":%b}' % _quoted(sentence).encode("utf-8", "replace")
