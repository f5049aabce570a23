"""A real REST port in a thread, whose answers a test writes piece by piece."""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import uvloop

from modelservice_runtime.transport.http import OCTET_STREAM, HttpLimits, HttpRequest, HttpResponse
from modelservice_runtime.transport.rest.server import RestServer
from modelservice_runtime.transport.streaming import AnswerStream, StreamHead

# What must happen at any speed of the machine.
PATIENCE_SECONDS = 120
OWN_HEADER = (b"X-Own", b"Value")


class Producer:
    """Notes what its connection says."""

    def __init__(self, server: "StreamServer") -> None:
        self.server = server
        self.stream: AnswerStream
        self.heard: queue.Queue[str] = queue.Queue()
        self.last_words = b""

    def pause(self) -> None:
        self.heard.put("pause")

    def resume(self) -> None:
        self.heard.put("resume")

    def cut_off(self) -> None:
        self.heard.put("cut off")
        self.stream.write(self.last_words)
        self.stream.end()

    def next(self) -> str:
        return self.heard.get(timeout=PATIENCE_SECONDS)

    def write(self, data: bytes) -> None:
        self.server.call(lambda: self.stream.write(data))

    def end(self) -> None:
        self.server.call(lambda: self.stream.end())


class StreamServer:
    """`/stream` begins a stream, `/plain` answers at once, `/echo` with the body, `/wait` never does.

    `/later` begins a stream when `begin_later` is called, `/faulty` fails in between.
    """

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self._limits = replace(limits or HttpLimits(), sweep_seconds=0.05)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.begun: queue.Queue[Producer] = queue.Queue()
        self.left: queue.Queue[bytes] = queue.Queue()
        self.seen: queue.Queue[bytes] = queue.Queue()
        self.later: queue.Queue[HttpRequest] = queue.Queue()
        self.server: RestServer
        self.loop: asyncio.AbstractEventLoop
        self.port = 0

    def __enter__(self) -> "StreamServer":
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def call(self, work: Callable[[], Any]) -> Any:
        """Do something on the loop's thread."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_SECONDS)

    def drain(self, seconds: float) -> Any:
        return asyncio.run_coroutine_threadsafe(self.server.drain(seconds), self.loop)

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(PATIENCE_SECONDS)
        connection.connect(("127.0.0.1", self.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def begin(self) -> Producer:
        """The next stream."""
        return self.begun.get(timeout=PATIENCE_SECONDS)

    def begin_later(self) -> Producer:
        """The stream of the next request that waits for it."""
        request = self.later.get(timeout=PATIENCE_SECONDS)
        self.call(lambda: self._begin(request))
        return self.begin()

    def _answer(self, request: HttpRequest) -> None:
        self.seen.put(request.target)
        if request.target == b"/plain":
            request.reply(HttpResponse(200, b'"plain"'))
            return
        if request.target == b"/echo":
            request.reply(HttpResponse(200, bytes(request.body), OCTET_STREAM, (OWN_HEADER,)))
            return
        request.on_disconnect = lambda: self.left.put(request.target)
        if request.target == b"/wait":
            request.on_cut_off = lambda: request.reply(HttpResponse(503, b'"leaving"'))
            return
        if request.target == b"/later":
            self.later.put(request)
            return
        self._begin(request)

    def _begin(self, request: HttpRequest) -> None:
        producer = Producer(self)
        producer.stream = request.stream(StreamHead(b"text/event-stream"), producer)
        if request.target == b"/faulty":
            producer.stream.write(b"half")
            raise RuntimeError("a fault behind the head")
        if request.target == b"/at-once":
            producer.stream.write(b"all")
            producer.stream.end()
        self.begun.put(producer)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = RestServer(self._answer, self._limits, self.loop)
        self.port = await self.server.listen("127.0.0.1", 0)
        self._started.set()
        await self._stop.wait()
        await self.server.drain(0)
