"""What is told of gRPC calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from modelservice_runtime.observe.exchange import Exchange
from modelservice_runtime.observe.grpc import observe_services
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

PATH = "/inference.GRPCInferenceService/ModelInfer"
MESSAGE = b"\x0a\x03mlp\x1a\x01x"


@dataclass
class Call:
    """Stands for the transport's side."""

    path: str = PATH
    received_ns: int = 0
    timeout_seconds: float | None = None
    writable: bool = True
    metadata: Mapping[bytes, bytes] = field(default_factory=lambda: {b"x-request-id": b"r-1"})
    on_writable: Callable[[], None] | None = None
    sent: list[object] = field(default_factory=list)
    status: GrpcStatus | None = None

    def send(self, message: Buffer | Sequence[Buffer]) -> None:
        self.sent.append(message)

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        self.status = status


class Handler:
    """Answers each message as it is told to."""

    def __init__(self, call: GrpcCall, answer: Callable[[GrpcCall], None]) -> None:
        self.call = call
        self.answer = answer
        self.cancelled = False

    def on_message(self, message: bytes) -> None:
        self.answer(self.call)

    def on_end(self) -> None:
        pass

    def on_cancel(self) -> None:
        self.cancelled = True


def open_call(call: Call, service: Service) -> tuple[CallHandler, list[Exchange]]:
    seen: list[Exchange] = []
    return observe_services({call.path: service}, seen.append)[call.path](call), seen


def answer(call: GrpcCall) -> None:
    call.send([b"ab", memoryview(b"cde")])
    call.finish()


def test_a_unary_call_is_told_of_once_without_its_content() -> None:
    call = Call()
    handler, seen = open_call(call, lambda watched: Handler(watched, answer))
    handler.on_message(MESSAGE)
    handler.on_end()
    handler.on_cancel()
    assert call.status is GrpcStatus.OK
    (exchange,) = seen
    assert (exchange.protocol, exchange.route, exchange.model) == ("grpc", PATH, "mlp")
    assert (exchange.status, exchange.failed, exchange.request_id) == ("OK", False, "r-1")
    assert (exchange.request_bytes, exchange.response_bytes) == (len(MESSAGE), 5)


@pytest.mark.parametrize(
    ("error", "status", "failed"),
    [
        (GrpcError(GrpcStatus.NOT_FOUND, "no"), "NOT_FOUND", False),
        (GrpcError(GrpcStatus.UNAVAILABLE, "no"), "UNAVAILABLE", True),
        (ValueError("a fault"), "INTERNAL", True),
    ],
)
def test_a_call_that_ends_by_raising_is_told_of_and_raises_on(
    error: Exception, status: str, failed: bool
) -> None:
    def fail(_: GrpcCall) -> None:
        raise error

    handler, seen = open_call(Call(), lambda watched: Handler(watched, fail))
    with pytest.raises(type(error)):
        handler.on_message(MESSAGE)
    assert [(exchange.status, exchange.failed) for exchange in seen] == [(status, failed)]


def test_a_service_that_refuses_a_call_is_told_of() -> None:
    def refuse(_: GrpcCall) -> CallHandler:
        raise GrpcError(GrpcStatus.UNIMPLEMENTED, "no")

    seen: list[Exchange] = []
    with pytest.raises(GrpcError):
        observe_services({PATH: refuse}, seen.append)[PATH](Call())
    assert [exchange.status for exchange in seen] == ["UNIMPLEMENTED"]


def test_a_cancelled_call_is_told_of_and_its_handler_hears_it() -> None:
    handlers: list[Handler] = []

    def service(call: GrpcCall) -> CallHandler:
        handlers.append(Handler(call, lambda _: None))
        return handlers[0]

    handler, seen = open_call(Call(), service)
    handler.on_message(MESSAGE)
    assert seen == []
    handler.on_cancel()
    assert handlers[0].cancelled
    assert [exchange.status for exchange in seen] == ["CANCELLED"]


def test_a_watched_call_is_the_call_to_its_service() -> None:
    call = Call(timeout_seconds=3.0, writable=False)
    watched: list[GrpcCall] = []

    def service(given: GrpcCall) -> CallHandler:
        watched.append(given)
        given.on_writable = lambda: None
        return Handler(given, answer)

    open_call(call, service)
    assert call.on_writable is watched[0].on_writable is not None
    assert (watched[0].timeout_seconds, watched[0].writable, watched[0].path) == (3.0, False, PATH)


@pytest.mark.parametrize("message", [b"", b"\x0a", b"\x12\x03mlp", b"\x0a\xff\x01x"])
def test_a_message_without_a_name_in_front_has_no_model(message: bytes) -> None:
    handler, seen = open_call(Call(), lambda watched: Handler(watched, answer))
    handler.on_message(message)
    assert seen[0].model is None
