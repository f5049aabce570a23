"""An HTTP/2 client that says exactly what it is told, over a socket."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import hpack

from modelservice_runtime.transport.http2.framing.errors import ErrorCode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream_id: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream_id) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join([struct.pack(">HI", *pair) for pair in pairs]))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4))


def reset(stream_id: int, code: ErrorCode = ErrorCode.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4))


def prefixed(message: bytes, flag: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return bytes([flag]) + len(message).to_bytes(4) + message


def block(path: str = "/test.Test/Echo", **changes: str | None) -> bytes:
    """The header block of a call, all literals; `changes` replace headers, `_` for `-`."""
    headers: dict[str, str | None] = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return literals([(name, value) for name, value in headers.items() if value is not None])


def literals(headers: list[tuple[str, str]]) -> bytes:
    encoder = hpack.Encoder()
    fields = [
        hpack.NeverIndexedHeaderTuple(name.encode(), value.encode("latin-1")) for name, value in headers
    ]
    return bytes(encoder.encode(fields, huffman=False))


def call(
    stream_id: int, message: bytes | None = b"hi", path: str = "/test.Test/Echo", **changes: str | None
) -> bytes:
    """A whole unary request; without a message it is left open."""
    head = frame(HEADERS, END_HEADERS, stream_id, block(path, **changes))
    return head if message is None else head + frame(DATA, END_STREAM, stream_id, prefixed(message))


class RawClient:
    """A connection that has said hello with `greeting` and reads frames."""

    def __init__(self, connection: socket.socket, greeting: bytes = PREFACE + settings()) -> None:
        self.socket = connection
        self.decoder = hpack.Decoder()
        self._received = b""
        self._goaway: Frame | None = None
        self.send(greeting)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frames(self) -> Iterator[Frame]:
        """Frames until the server closes."""
        while True:
            head = self._read(9)
            if head is None:
                return
            payload = self._read(int.from_bytes(head[:3]))
            assert payload is not None
            kind, flags, stream_id = struct.unpack(">BBI", head[3:])
            found = Frame(kind, flags, stream_id, payload)
            if kind == GOAWAY:
                self._goaway = found
            yield found

    def next(self, kind: int, stream_id: int | None = None) -> Frame:
        """The next frame of a kind; others are skipped."""
        for item in self.frames():
            if item.kind == kind and stream_id in (None, item.stream_id):
                return item
        raise AssertionError("the connection was closed")

    def answer(self, stream_id: int) -> tuple[dict[str, str], bytes]:
        """All headers, with the trailers, and the DATA of one stream; other frames are skipped."""
        headers: dict[str, str] = {}
        data = bytearray()
        for item in self.frames():
            if item.kind == HEADERS:
                fields = self.decoder.decode(item.payload, raw=True)
                if item.stream_id == stream_id:
                    headers |= {bytes(name).decode(): bytes(value).decode() for name, value in fields}
            elif item.kind == DATA and item.stream_id == stream_id:
                data += item.payload
            elif (item.kind == GOAWAY and any(item.payload[4:8])) or (
                item.kind == RST_STREAM and item.stream_id == stream_id
            ):
                raise AssertionError(f"instead of an answer: {item}")
            if item.stream_id == stream_id and item.kind in (DATA, HEADERS) and item.flags & END_STREAM:
                return headers, bytes(data)
        raise AssertionError("closed before the answer")

    def goaway(self) -> tuple[int, ErrorCode]:
        """Last stream and code of GOAWAY, which may have come ahead of an answer; the connection must end."""
        last_stream_id, code = struct.unpack(">II", (self._goaway or self.next(GOAWAY)).payload[:8])
        for item in self.frames():
            assert item.kind != HEADERS, "an answer behind GOAWAY"
        return last_stream_id, ErrorCode(code)

    def reset_code(self, stream_id: int) -> ErrorCode:
        """The code of the stream's RST_STREAM."""
        return ErrorCode(int.from_bytes(self.next(RST_STREAM, stream_id).payload))

    def ping(self) -> None:
        """Wait until the server has handled everything sent before."""
        self.send(frame(PING, payload=b"sequence"))
        while (answer := self.next(PING)).payload != b"sequence" or not answer.flags & ACK:
            continue

    def _read(self, size: int) -> bytes | None:
        while len(self._received) < size:
            try:
                part = self.socket.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return None
            self._received += part
        data, self._received = self._received[:size], self._received[size:]
        return data
