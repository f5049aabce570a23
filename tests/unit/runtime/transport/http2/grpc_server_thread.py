"""A gRPC server with a few services for tests, on a loopback port, in a thread of the test process."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import uvloop

from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.grpc.stream import Admission, CallHandler, GrpcCall
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.status import GrpcError, GrpcStatus
from modelservice_runtime.transport.tls import TlsContext


class Echo:
    """Unary: answers with the request; a request `b"size N"` with N zero bytes, in two buffers."""

    def __init__(self, call: GrpcCall) -> None:
        self.call = call

    def on_message(self, message: bytes) -> None:
        if message.startswith(b"size "):
            size = int(message[5:])
            self.call.send([bytes(size // 2), memoryview(bytearray(size - size // 2))])
        else:
            self.call.send(message)
        self.call.finish()

    def on_end(self) -> None:
        self.call.finish(GrpcStatus.INVALID_ARGUMENT, "there was no message")

    def on_cancel(self) -> None:
        return


class Chat(Echo):
    """Streaming: answers every message, and ends when the client does."""

    def on_message(self, message: bytes) -> None:
        if message.startswith(b"size "):
            self.call.send(bytes(int(message[5:])))
        else:
            self.call.send(message)

    def on_end(self) -> None:
        self.call.finish()


class Never(Echo):
    """Never answers; counts what is open and what was cancelled."""

    open = 0
    cancelled = 0

    def __init__(self, call: GrpcCall) -> None:
        super().__init__(call)
        Never.open += 1

    def on_message(self, message: bytes) -> None:
        return

    def on_end(self) -> None:
        return

    def on_cancel(self) -> None:
        Never.open -= 1
        Never.cancelled += 1
        self.call.send(b"late")
        self.call.finish()


class Later(Echo):
    """Answers from a timer, as lanes do."""

    def on_message(self, message: bytes) -> None:
        asyncio.get_running_loop().call_later(0.02, super().on_message, message)

    def on_end(self) -> None:
        return


class Failing(Echo):
    """Raises: `b"grpc"` a GrpcError, all else an error of ours."""

    def on_message(self, message: bytes) -> None:
        if message == b"grpc":
            raise GrpcError(GrpcStatus.NOT_FOUND, "no such mödel: 100%")
        raise RuntimeError("a secret")


def describe(call: GrpcCall) -> CallHandler:
    """Answers with path, deadline and metadata."""
    echo = Echo(call)
    lines = [call.path, repr(call.timeout_seconds)]
    lines += [f"{name.decode()}={value.decode('latin-1')}" for name, value in sorted(call.metadata.items())]
    text = "\n".join(lines).encode()
    echo.on_message = lambda _message: (call.send(text), call.finish())[0]  # type: ignore[method-assign]
    return echo


SERVICES = {
    "/test.Test/Echo": Echo,
    "/test.Test/Chat": Chat,
    "/test.Test/Never": Never,
    "/test.Test/Later": Later,
    "/test.Test/Failing": Failing,
    "/test.Test/Describe": describe,
}
# What is answered where there are too many connections.
PROBES = {"/test.Test/Echo"}


class GrpcServerThread:
    """Serves `SERVICES` until the end of the `with` block."""

    def __init__(
        self,
        limits: Http2Limits | None = None,
        admit: Admission | None = None,
        tls: TlsContext | None = None,
    ) -> None:
        self.limits = replace(limits or Http2Limits(), sweep_seconds=0.02)
        self.port = 0
        self.server: GrpcServer
        self.loop: asyncio.AbstractEventLoop
        self._admit = admit
        self._tls = tls
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "GrpcServerThread":
        self._thread.start()
        assert self._started.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(120)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def drain(self, seconds: float) -> bool:
        """Drain from the caller's thread."""
        return asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.loop).result(120)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = GrpcServer(SERVICES, self.limits, self.loop, self._admit, PROBES)
        self.port = await self.server.listen("127.0.0.1", 0, self._tls)
        self._started.set()
        await self._stop.wait()
        await self.server.drain(0.2)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)
