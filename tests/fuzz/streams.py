"""Connections: whatever comes, and in whatever pieces, no exception, no growth, and the same answers."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall
from modelservice_runtime.transport.http import HttpLimits, HttpRequest, HttpResponse
from modelservice_runtime.transport.http1.connection import Connection
from modelservice_runtime.transport.http1.server import HttpServer
from modelservice_runtime.transport.http2.framing.frames import FrameType, build_frame, build_settings
from modelservice_runtime.transport.http2.headers.hpack import encode_header
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.rest.server import RestServer

LIMITS = HttpLimits(max_body_bytes=4096, max_buffered_bytes=8192, max_target_bytes=256, max_head_bytes=2048)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class FakeTransport:
    """Collects what is written; everything leaves at once."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closing = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, buffers: list[bytes]) -> None:
        for buffer in buffers:
            self.written += buffer

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.closing = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def get_extra_info(self, _name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        return None

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None


class FakeLoop(asyncio.BaseEventLoop):
    """Runs what is due at once, and timers never."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[Callable[[], object]] = []

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        self.due.append(lambda: callback(*arguments))

    def run_due(self) -> None:
        for _ in range(100_000):
            if not self.due:
                return
            self.due.pop(0)()
        raise AssertionError("the loop never rests")


def _feed(transport: FakeTransport, loop: FakeLoop, data: bytes) -> None:
    """Deliver as the loop would: to whichever protocol the transport has by then."""
    while data and not transport.closing:
        protocol = transport.protocol
        if isinstance(protocol, asyncio.BufferedProtocol):
            room = protocol.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            data = data[size:]
            room.release()
            protocol.buffer_updated(size)
        else:
            protocol.data_received(data)
            data = b""
        loop.run_due()


def _answer(request: HttpRequest) -> None:
    """An answer that tells what was understood."""
    head = repr((request.method, request.target, sorted(request.headers.items()))).encode()
    digest = hashlib.sha256(head + b"\0" + bytes(request.body)).hexdigest().encode()
    request.reply(HttpResponse(200, digest))


def _serve_http(pieces: list[bytes], server: HttpServer, loop: FakeLoop) -> bytes:
    connection, transport = Connection(server), FakeTransport()
    transport.protocol = connection
    connection.connection_made(transport)  # type: ignore[arg-type]
    for piece in pieces:
        _feed(transport, loop, piece)
    connection.connection_lost(None)
    assert server.buffered_bytes == 0
    assert not server.connections
    return re.sub(rb"Date: [^\r]*", b"", bytes(transport.written))


def check_http(data: bytes) -> None:
    """Bytes on a connection. The first two say how the rest is cut; three ways must mean the same."""
    if len(data) < 3:
        return
    size, data = data[0] % 97 + 1, data[2:]
    loop = FakeLoop()
    servers = [HttpServer(_answer, LIMITS, loop) for _ in range(2)]
    whole = _serve_http([data], servers[0], loop)
    assert _serve_http([data], servers[0], loop) == whole  # its heads are known by now
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    cut = _serve_http(pieces, servers[1], loop)
    # A head that grows over several packets is bounded a little earlier.
    if b" 431 " not in whole + cut:
        assert _answers(cut) == _answers(whole), (cut, whole)
    loop.close()


def _answers(written: bytes) -> list[bytes]:
    """Bodies, and that something was refused: why may depend on what had come by then."""
    answers = re.findall(rb"HTTP/1.1 (?:200[^\0]*?\r\n\r\n[0-9a-f]{64}|[345]\d\d)", written)
    return [b"refused" if len(answer) < 64 else answer for answer in answers]


def http_seeds() -> Iterator[bytes]:
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n"
    body = b'{"inputs":[]}'
    plain = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
    get = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    for text in (
        plain, chunked, get, plain + chunked + get, get.replace(b"HTTP/1.1", b"HTTP/1.0"),
        head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        get.replace(b"keep-alive", b"Upgrade\r\nUpgrade: h2c") + get, get.replace(b"keep-alive", b"close"),
        head + b"Content-Length: 4000\r\n\r\n" + bytes(4000) + get,
    ):  # fmt: skip
        yield b"\x07\x00" + text
        yield b"\x60\x00" + text


class _Echo:
    """Answers every message with itself."""

    def __init__(self, call: GrpcCall) -> None:
        self._call = call

    def on_message(self, message: bytes) -> None:
        self._call.send(message)

    def on_end(self) -> None:
        self._call.finish()

    def on_cancel(self) -> None:
        return None


def _echo(call: GrpcCall) -> CallHandler:
    return _Echo(call)


def check_http2(data: bytes) -> None:
    """Frames behind the preface, cut into pieces of the size that the first byte says; to both our ports."""
    if len(data) < 2:
        return
    size = data[0] * 8 + 1
    loop = FakeLoop()
    grpc, rest = GrpcServer({"/t.T/Echo": _echo}, Http2Limits(), loop), RestServer(_answer, LIMITS, loop)
    for server, streams in ((grpc, grpc), (rest, rest.http2)):
        transport = FakeTransport()
        transport.protocol = server.make_connection()
        transport.protocol.connection_made(transport)
        stream = PREFACE + data[1:]
        for start in range(0, len(stream), size):
            _feed(transport, loop, stream[start : start + size])
        transport.protocol.connection_lost(None)
        loop.run_due()
        assert streams.open_streams == 0
        assert server.buffered_bytes == 0
        assert not server.connections
        assert len(transport.written) < 100_000 + 64 * len(data)
    loop.close()


def http2_seeds() -> Iterator[bytes]:
    fields = {
        b":method": b"POST", b":scheme": b"http", b":path": b"/t.T/Echo", b":authority": b"a",
        b"te": b"trailers", b"content-type": b"application/grpc", b"grpc-timeout": b"1S",
    }  # fmt: skip
    block = b"".join(encode_header(name, value) for name, value in fields.items())
    plain = {**fields, b":path": b"/v2", b"content-type": b"application/json", b"content-length": b"8"}
    request = build_frame(
        FrameType.HEADERS, 0x4, 1, b"".join(encode_header(name, value) for name, value in plain.items())
    )
    settings = build_settings([])
    head = build_frame(FrameType.HEADERS, 0x4, 1, block)
    message = build_frame(FrameType.DATA, 0x1, 1, b"\0\0\0\0\x03abc")
    reset = build_frame(FrameType.RST_STREAM, 0, 1, b"\0\0\0\x08")
    update = build_frame(FrameType.WINDOW_UPDATE, 0, 0, b"\0\0\1\0")
    ping = build_frame(FrameType.PING, 0, 0, b"12345678")
    parts = build_frame(FrameType.HEADERS, 0, 3, block[:20]) + build_frame(
        FrameType.CONTINUATION, 4, 3, block[20:]
    )
    for frames in (
        settings + head + message,
        settings + request + message,
        settings + head + reset,
        settings + update + ping,
        settings + parts,
    ):
        yield b"\x02" + frames
        yield b"\xff" + frames
