"""Requests of HTTP as frames, and a client that says exactly what it is told."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.unit.runtime.transport.http1.stream_server import StreamServer
from tests.unit.runtime.transport.http2.grpc_server_thread import wait_until
from tests.unit.runtime.transport.http2.raw_client import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RawClient,
    frame,
    literals,
    settings,
)

HELLO = PREFACE + settings()


def head(stream_id: int, path: str, *, ended: bool, **changes: str | None) -> bytes:
    """HEADERS of a request; `changes` replace headers, `__` for a colon in front and `_` for `-`."""
    headers: dict[str, str | None] = {
        ":method": "GET" if ended else "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
    }
    headers |= {name.replace("__", ":").replace("_", "-"): value for name, value in changes.items()}
    fields = literals([(name, value) for name, value in headers.items() if value is not None])
    return frame(HEADERS, END_HEADERS | (END_STREAM if ended else 0), stream_id, fields)


def get(stream_id: int, path: str, **changes: str | None) -> bytes:
    """A request without a body."""
    return head(stream_id, path, ended=True, **changes)


def post(stream_id: int, path: str, body: bytes, size: int = 16_384, **changes: str | None) -> bytes:
    """A request whose body comes in frames of `size`; it fits into the server's window."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    frames = [frame(DATA, 0, stream_id, piece) for piece in pieces[:-1]]
    last = frame(DATA, END_STREAM, stream_id, pieces[-1])
    return head(stream_id, path, ended=False, **changes) + b"".join(frames) + last


@contextmanager
def connected(server: StreamServer, greeting: bytes = HELLO) -> Iterator[RawClient]:
    """A client; when it has gone nothing may be left of it."""
    client = RawClient(server.connect(), greeting)
    try:
        yield client
    finally:
        client.socket.close()
        counts = server.server
        wait_until(lambda: not (counts.connections or counts.http2.open_streams or counts.buffered_bytes))
