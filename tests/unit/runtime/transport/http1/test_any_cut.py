"""Requests in packets cut anywhere, answered now or later: each is read as it was meant, in its order."""

import asyncio
import hashlib
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.transport.http2.offline_connection import FakeLoop

from modelservice_runtime.transport.http import HttpLimits, HttpRequest, HttpResponse
from modelservice_runtime.transport.http1.connection import Connection
from modelservice_runtime.transport.http1.server import HttpServer

HEAD = b"POST /%s HTTP/1.1\r\nHost: a\r\n"
LARGE = bytes(range(250)) * 300
SIZE = b"Content-Length: %d\r\n\r\n"
# Bytes, and the body that they mean.
REQUESTS = {
    "empty": (b"GET /empty HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    "plain": (HEAD % b"plain" + SIZE % 4 + b"abcd", b"abcd"),
    "chunked": (
        HEAD % b"chunked" + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n",
        b"abcd",
    ),
    "old": (b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b""),
    "asks": (HEAD % b"asks" + b"Expect: 100-continue\r\n" + SIZE % 2 + b"{}", b"{}"),
    "upgrade": (
        HEAD % b"upgrade" + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + SIZE % 4 + b"abcd",
        b"abcd",
    ),
    "json": (HEAD % b"json" + SIZE % len(LARGE) + LARGE, LARGE),
    "tensor": (
        HEAD % b"tensor" + b"Inference-Header-Content-Length: 21\r\n" + SIZE % len(LARGE) + LARGE,
        LARGE,
    ),
}


class Client:
    """Delivers bytes as asyncio does, and answers what waits where nothing more is read before."""

    def __init__(self, late: list[bool]) -> None:
        self._late = late
        self._waiting: list[HttpRequest] = []
        self._reading = True
        self._loop = FakeLoop()
        self.written = b""
        server = HttpServer(self._take, HttpLimits(), self._loop)  # type: ignore[arg-type]
        self._protocol: Any = Connection(server)
        self._protocol.connection_made(self)

    def _take(self, request: HttpRequest) -> None:
        if self._late and self._late.pop():
            self._waiting.append(request)
        else:
            self._answer(request)

    def _answer(self, request: HttpRequest) -> None:
        digest = hashlib.sha256(request.body).hexdigest()
        request.reply(HttpResponse(200, b"%b %b" % (request.target, digest.encode())))

    def deliver(self, data: bytes) -> None:
        while data:
            while not self._reading:
                self.catch_up()
            size = len(data)
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                size = self._fill(self._protocol, data)
            else:
                self._protocol.data_received(data)
            data = data[size:]

    def _fill(self, protocol: Any, data: bytes) -> int:
        with memoryview(protocol.get_buffer(-1)) as room:
            size = min(len(room), len(data))
            assert size
            room[:size] = data[:size]
        protocol.buffer_updated(size)
        return size

    def catch_up(self) -> None:
        assert self._waiting or self._loop.due
        while self._waiting:
            self._answer(self._waiting.pop())
        self._loop.run()

    def finish(self) -> None:
        while self._waiting or self._loop.due:
            self.catch_up()

    # the transport

    def write(self, data: bytes) -> None:
        self.written += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def get_extra_info(self, _name: str) -> None:
        return

    def is_closing(self) -> bool:
        return False


NAMES = st.sampled_from(sorted(REQUESTS))


@st.composite
def talks(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    """Requests of few kinds, which repeat each other's heads, and where their bytes are cut."""
    kinds = draw(st.lists(NAMES, min_size=1, max_size=2))
    names = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6))
    edges, end = {0}, 0
    for name in names:
        text = REQUESTS[name][0]
        edges |= {end + text.index(b"\r\n\r\n") + 4, end + len(text)}
        end += len(text)
    return names, sorted(draw(st.lists(st.sampled_from(sorted(edges)) | st.integers(0, end), max_size=8)))


@settings(max_examples=200, deadline=None)
@given(talks(), st.lists(st.booleans(), max_size=6))
def test_requests_cut_anywhere_are_answered_in_their_order(
    talk: tuple[list[str], list[int]], late: list[bool]
) -> None:
    names, cuts = talk
    sent = b"".join([REQUESTS[name][0] for name in names])
    client = Client(late)
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        client.deliver(sent[start:end])
    client.finish()
    answers = re.findall(rb"HTTP/1.1 200 .*?\r\n\r\n(/\w+ \w{64})", client.written, re.DOTALL)
    assert [answer.decode() for answer in answers] == [
        f"/{name} {hashlib.sha256(REQUESTS[name][1]).hexdigest()}" for name in names
    ]
    assert b"HTTP/1.1 4" not in client.written
