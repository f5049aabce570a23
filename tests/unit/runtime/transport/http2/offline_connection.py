"""A connection without a network, in a time that the test sets; and a client that checks every frame."""

from collections.abc import Callable
from typing import Any

from tests.unit.runtime.transport.http2 import raw_client as raw
from tests.unit.runtime.transport.http2.conftest import SMALL
from tests.unit.runtime.transport.http2.grpc_server_thread import SERVICES

from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.http2.connection import Connection
from modelservice_runtime.transport.http2.limits import Http2Limits

WINDOW = 65_535
INITIAL_WINDOW_SIZE = 0x4


class FakeLoop:
    """Time stands still; callbacks run when asked to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[Callable[[], None]] = []
        self.timers: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def call_later(self, _seconds: float, callback: Callable[..., None], *arguments: Any) -> "FakeLoop":
        self.timers.append(lambda: callback(*arguments))
        return self

    def cancel(self) -> None:
        return

    def run(self) -> None:
        while self.due:
            due, self.due = self.due, []
            for callback in due:
                callback()


class FakeTransport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False
        self.aborted = False
        self.reading = True

    def set_write_buffer_limits(self, high: int) -> None:
        return

    def get_extra_info(self, _name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        assert self.aborted or not self.closing
        self.written += data

    def writelines(self, buffers: list[bytes]) -> None:
        self.write(b"".join(buffers))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = True


class Client:
    """What a client knows of its windows; checks every frame of the server."""

    def __init__(self) -> None:
        self.connection_window = WINDOW
        self.initial_window = WINDOW
        self.unacknowledged: list[int] = []
        self.windows: dict[int, int] = {}
        self.ended: set[int] = set()
        self.kinds: list[int] = []

    def check(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 3])
            kind, flags = data[position + 3], data[position + 4]
            stream_id = int.from_bytes(data[position + 5 : position + 9])
            position += 9 + length
            self.kinds.append(kind)
            if kind == raw.SETTINGS and flags & raw.ACK and self.unacknowledged:
                self.apply(self.unacknowledged.pop(0))
            elif kind == raw.DATA:
                assert length <= 16_384
                assert stream_id not in self.ended
                self.connection_window -= length
                self.windows[stream_id] -= length
                assert self.connection_window >= 0
                assert self.windows[stream_id] >= 0
            if (kind == raw.HEADERS and flags & raw.END_STREAM) or kind == raw.RST_STREAM:
                self.ended.add(stream_id)
        assert position == len(data)

    def apply(self, size: int) -> None:
        for stream_id in self.windows:
            self.windows[stream_id] += size - self.initial_window
        self.initial_window = size


class Play:
    """One connection, and the client's side of it."""

    def __init__(self, limits: Http2Limits = SMALL, *, closing: bool = False) -> None:
        self.loop = FakeLoop()
        self.server = GrpcServer(SERVICES, limits, self.loop)  # type: ignore[arg-type]
        if closing:
            self.server.start_closing()
        self.connection = Connection(self.server)
        self.transport = FakeTransport()
        self.client = Client()
        self.next_id = 1
        self.open_ids: list[int] = []
        self.paused = False
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.connection.data_received(raw.PREFACE + raw.settings())
        self.client.unacknowledged.append(WINDOW)

    def receive(self, data: bytes) -> None:
        self.connection.data_received(data)

    def head(self, path: str, ended: bool) -> None:
        self.client.windows[self.next_id] = self.client.initial_window
        flags = raw.END_HEADERS | (raw.END_STREAM if ended else 0)
        if not ended:
            self.open_ids.append(self.next_id)
        self.receive(raw.frame(raw.HEADERS, flags, self.next_id, raw.block(path)))
        self.next_id += 2

    def open_id(self, place: int) -> int:
        """A call that neither side has ended, or 0."""
        self.open_ids = [stream_id for stream_id in self.open_ids if stream_id not in self.client.ended]
        return self.open_ids[place % len(self.open_ids)] if self.open_ids else 0

    def data(self, place: int, data: bytes, ended: bool) -> None:
        stream_id = self.open_id(place)
        if not stream_id:
            return
        if ended:
            self.open_ids.remove(stream_id)
        self.receive(raw.frame(raw.DATA, raw.END_STREAM if ended else 0, stream_id, data))

    def window(self, place: int, increment: int) -> None:
        waiting = [stream_id for stream_id in self.client.windows if stream_id not in self.client.ended]
        stream_id = 0 if place < 0 or not waiting else waiting[place % len(waiting)]
        if stream_id:
            self.client.windows[stream_id] += increment
        else:
            self.client.connection_window += increment
        self.receive(raw.window_update(stream_id, increment))

    def settings(self, size: int) -> None:
        self.client.unacknowledged.append(size)
        self.receive(raw.settings((INITIAL_WINDOW_SIZE, size)))

    def reset(self, place: int) -> None:
        stream_id = self.open_id(place)
        if stream_id:
            self.client.ended.add(stream_id)
            self.receive(raw.reset(stream_id))

    def ping(self) -> None:
        self.receive(raw.frame(raw.PING, payload=bytes(8)))

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            self.connection.pause_writing()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.connection.resume_writing()

    def timers(self) -> None:
        timers, self.loop.timers = self.loop.timers, []
        for timer in timers:
            timer()

    def sweep(self, seconds: float) -> None:
        self.loop.now += seconds
        self.server.sweep()

    def goaway(self) -> None:
        self.receive(raw.frame(raw.GOAWAY, payload=bytes(8)))

    def leave(self) -> None:
        self.connection.start_leaving()

    def garbage(self) -> None:
        self.receive(b"\xff" * 30)

    def step(self, name: str, *arguments: Any) -> None:
        if self.transport.aborted:
            return
        getattr(self, name)(*arguments)
        self.loop.run()
        self.client.check(self.transport.written)
        self.transport.written = b""
