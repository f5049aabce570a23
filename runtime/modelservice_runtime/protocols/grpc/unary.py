"""Methods with one request and one answer, and the error boundary of all services."""

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from modelservice_runtime.errors import InvalidRequestError, ServingError
from modelservice_runtime.protocols.tensors.protobuf_wire import ParsedMessage
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.status import GrpcError, GrpcStatus, grpc_error

# Requests without tensors: names and versions. protobuf's parser may need twenty times as much memory.
MAX_PLAIN_REQUEST_BYTES = 64 * 1024


Request = TypeVar("Request", bound=ParsedMessage)


class UnaryHandler:
    """Waits for the client's only message and its end, then calls `handle`."""

    __slots__ = ("_message", "call")

    def __init__(self, call: GrpcCall) -> None:
        self.call = call
        self._message: bytes | None = None

    def on_message(self, message: bytes) -> None:
        """See `CallHandler`."""
        if self._message is not None:
            raise GrpcError(GrpcStatus.UNIMPLEMENTED, "this method takes one request, and two came")
        self._message = message

    def on_end(self) -> None:
        """See `CallHandler`."""
        if self._message is None:
            raise GrpcError(GrpcStatus.UNIMPLEMENTED, "this method takes one request, and none came")
        message, self._message = self._message, None
        try:
            self.handle(message)
        except ServingError as error:
            raise grpc_error(error) from error

    def on_cancel(self) -> None:
        """See `CallHandler`; nothing runs longer than `handle`."""

    def handle(self, message: bytes) -> None:
        """Answer the request, now or later; may raise ServingError."""
        raise NotImplementedError


class _PlainHandler(UnaryHandler):
    __slots__ = ("_answer",)

    def __init__(self, call: GrpcCall, answer: Callable[[bytes], Message]) -> None:
        super().__init__(call)
        self._answer = answer

    def handle(self, message: bytes) -> None:
        self.call.send(self._answer(message).SerializeToString())
        self.call.finish()


def unary_service(request_class: type[Request], answer: Callable[[Request], Message]) -> Service:
    """A service whose answer is a plain function of its request; it may raise ServingError."""

    def parse_and_answer(message: bytes) -> Message:
        return answer(parse_plain_request(request_class, message))

    def service(call: GrpcCall) -> CallHandler:
        return _PlainHandler(call, parse_and_answer)

    return service


def parse_plain_request(request_class: type[Request], message: bytes) -> Request:
    """Parse a request without tensors. Raises InvalidRequestError."""
    if len(message) > MAX_PLAIN_REQUEST_BYTES:
        raise InvalidRequestError(
            f"the request has {len(message)} bytes; this method takes at most {MAX_PLAIN_REQUEST_BYTES}"
        )
    try:
        return request_class.FromString(message)
    except DecodeError:
        raise InvalidRequestError("the message is not the valid protobuf that this method takes") from None
