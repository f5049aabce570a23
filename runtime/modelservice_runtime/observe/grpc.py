"""Watches gRPC services from outside: between the transport and everything that answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from modelservice_runtime.observe.exchange import Exchange, Observer, decode_header, parse_traceparent
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

# The server's own faults, by OpenTelemetry's semantic conventions for RPC.
_FAILURES = frozenset(
    {
        GrpcStatus.UNKNOWN,
        GrpcStatus.DEADLINE_EXCEEDED,
        GrpcStatus.UNIMPLEMENTED,
        GrpcStatus.INTERNAL,
        GrpcStatus.UNAVAILABLE,
        GrpcStatus.DATA_LOSS,
    }
)
_MODEL_SERVICES = ("/inference.GRPCInferenceService/Model",)
_LONGEST_NAME_BYTES = 127


def observe_services(services: Mapping[str, Service], observer: Observer) -> dict[str, Service]:
    """The same services, of whose calls the observer hears when they end."""
    return {path: partial(observe_call, service, observer) for path, service in services.items()}


def observe_call(service: Service, observer: Observer, call: GrpcCall) -> CallHandler:
    """Serve a call, of which the observer hears once, when it ends."""
    watched = _WatchedCall(call, observer)
    return _WatchedHandler(watched.told(lambda: service(watched)), watched)


class _WatchedCall:
    """Stands between one call and its transport; see `GrpcCall`."""

    def __init__(self, call: GrpcCall, observer: Observer) -> None:
        self._call = call
        self._observer = observer
        self._opened_ns = call.received_ns
        self._messages = self._request_bytes = self._response_bytes = 0
        self._model: str | None = None
        self._done = False

    @property
    def on_writable(self) -> Callable[[], None] | None:
        return self._call.on_writable

    @on_writable.setter
    def on_writable(self, callback: Callable[[], None] | None) -> None:
        self._call.on_writable = callback

    @property
    def caller(self) -> object:
        return self._call.caller

    @property
    def path(self) -> str:
        return self._call.path

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        return self._call.metadata

    @property
    def received_ns(self) -> int:
        return self._call.received_ns

    @property
    def timeout_seconds(self) -> float | None:
        return self._call.timeout_seconds

    @property
    def writable(self) -> bool:
        return self._call.writable

    def send(self, message: Buffer | Sequence[Buffer]) -> None:
        buffers = [message] if isinstance(message, bytes | bytearray | memoryview) else message
        self._response_bytes += sum([memoryview(buffer).nbytes for buffer in buffers])
        self._call.send(message)

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        self._call.finish(status, message)
        self.tell(status)

    def take(self, message: bytes) -> None:
        """Note a request message."""
        if not self._messages and self._call.path.startswith(_MODEL_SERVICES):
            self._model = _first_text(message)
        self._messages += 1
        self._request_bytes += len(message)

    def told(self, act: Callable[[], CallHandler]) -> CallHandler:
        """Do something that may end the call by raising."""
        try:
            return act()
        except GrpcError as error:
            self.tell(error.status)
            raise
        except Exception:
            self.tell(GrpcStatus.INTERNAL)
            raise

    def tell(self, status: GrpcStatus) -> None:
        """Tell the observer that the call has ended; only the first end counts."""
        if not self._done:
            self._done = True
            self._observer(self._exchange(status, time.perf_counter_ns(), time.time_ns()))

    def _exchange(self, status: GrpcStatus, now_ns: int, ended_unix_ns: int) -> Exchange:
        metadata = self._call.metadata
        # A unary call counts from its message, as over HTTP; a stream from its beginning.
        started_ns = self._call.received_ns if self._messages <= 1 else self._opened_ns
        return Exchange(
            protocol="grpc",
            method="POST",
            route=self._call.path,
            model=self._model,
            status=status.name,
            failed=status in _FAILURES,
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            duration_ns=now_ns - started_ns,
            ended_unix_ns=ended_unix_ns,
            request_id=decode_header(metadata.get(b"x-request-id")),
            trace=parse_traceparent(metadata.get(b"traceparent")),
        )


class _WatchedHandler:
    """Stands between one call's handler and its transport; see `CallHandler`."""

    __slots__ = ("_call", "_handler")

    def __init__(self, handler: CallHandler, call: _WatchedCall) -> None:
        self._handler = handler
        self._call = call

    def on_message(self, message: bytes) -> None:
        self._call.take(message)
        self._forward(partial(self._handler.on_message, message))

    def on_end(self) -> None:
        self._forward(self._handler.on_end)

    def on_cancel(self) -> None:
        self._handler.on_cancel()
        self._call.tell(GrpcStatus.CANCELLED)

    def _forward(self, event: Callable[[], None]) -> None:
        def act() -> CallHandler:
            event()
            return self._handler

        self._call.told(act)


def _first_text(message: bytes) -> str | None:
    """Field 1 of a message, where it comes first and is a short text: the model's name in every request."""
    if len(message) < 2 or message[0] != 0x0A or message[1] > _LONGEST_NAME_BYTES:
        return None
    return bytes(message[2 : 2 + message[1]]).decode("utf-8", "replace")
