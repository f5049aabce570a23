"""One stream of a connection: its windows, its unsent data, and what a protocol on top fills in."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.http2.framing.frames import (
    END_STREAM,
    FRAME_HEADER,
    MAX_WINDOW_BYTES,
    FrameType,
)
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.outbox import Outbox


class StreamOwner(Protocol):
    """What a stream asks of its connection.

    `stream_window` is what the client may send on a new stream. Streams in `after_turn` hear of the end of
    the current turn. Before `reading_since` nothing was read for a while, which does not count against the
    client. `allowance` is what `Http2Limits` says.
    """

    limits: Http2Limits
    outbox: Outbox
    stream_window: int
    allowance: int
    after_turn: "list[Stream]"
    reading_since: float
    client: Client
    call_soon: Callable[[Callable[[], None]], object]

    def credit(self, stream: "Stream") -> None:
        """Grant the window again that the stream's data has used."""

    def answered(self, stream: "Stream") -> None:
        """Our side of the stream has ended; whatever the client still sends on it is ignored."""

    def reset(self, stream: "Stream", code: ErrorCode) -> None:
        """End a stream at once from our side; does not tell the stream."""

    def reserve(self, size: int) -> bool:
        """Count bytes that are held; False, and nothing counted, when all clients together hold too much."""

    def release(self, size: int) -> None:
        """Give them back."""

    def stall_deadline(self) -> float:
        """When data queued now must have moved."""


class Stream(ABC):
    """See the module's text.

    `queue` holds data that waits for a window or for the transport; `queued_bytes` of it count against
    the server's limit. `remote_ended`: the client has sent END_STREAM.
    """

    __slots__ = (
        "_last_block",
        "id",
        "outbox",
        "queue",
        "queued_bytes",
        "receive_window",
        "remote_ended",
        "send_window",
        "session",
        "stall_deadline",
    )

    def __init__(self, session: StreamOwner, stream_id: int) -> None:
        self.session = session
        self.outbox = session.outbox
        self.id = stream_id
        self.send_window = session.outbox.stream_window
        self.receive_window = session.stream_window
        self.remote_ended = False
        self.queue: deque[memoryview] | None = None
        self.queued_bytes = 0
        self.stall_deadline = 0.0
        self._last_block: bytes | None = None

    # events

    @abstractmethod
    def opened(self, ended: int) -> None:
        """The request's head is there; with `ended` nothing follows."""

    @abstractmethod
    def received(self, data: bytes, start: int, stop: int, ended: int) -> None:
        """`data[start:stop]` arrived, and with `ended` nothing follows; may be empty."""

    @abstractmethod
    def dropped(self) -> None:
        """The stream ended from the outside: reset, connection lost; nothing can be sent."""

    @abstractmethod
    def drained(self) -> None:
        """All queued data has been sent."""

    @abstractmethod
    def check_deadline(self, now: float) -> None:
        """Called now and then with the loop's time."""

    @abstractmethod
    def leave(self, *, at_once: bool) -> None:
        """The connection is to end: finish when nothing is under way, or now."""

    def say_last(self) -> bool:
        """The server is about to close: end in order, now; False where there is no way to."""
        return False

    @abstractmethod
    def turn_ended(self) -> None:
        """The turn in which this stream was put into `StreamOwner.after_turn` is over."""

    # sending

    def send_data(self, buffers: Sequence[Buffer]) -> None:
        """Queue DATA; the caller has reserved its size in the server's limit."""
        if self.queue is None:
            self.queue = deque()
        views = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self.queue.extend(views)
        if not self.queued_bytes:
            self.stall_deadline = self.session.stall_deadline()
        self.queued_bytes += sum([view.nbytes for view in views])
        self.outbox.enqueue(self)

    def send_last(self, block: bytes) -> None:
        """End our side behind the queued data, with a header block or, for b"", without one."""
        if self.queued_bytes:
            self._last_block = block
            return
        if block:
            self.outbox.write_head(self.id, block, END_STREAM)
        else:
            self.outbox.write(FRAME_HEADER.pack(FrameType.DATA, END_STREAM, self.id))
        self.local_ended()

    def local_ended(self) -> None:
        """Our side has ended; so has the stream, whatever the client still wants to send."""
        self.session.answered(self)

    def take(self, size: int, frames: list[Buffer]) -> None:
        """Move `size` queued bytes to `frames`: one DATA frame's payload."""
        assert self.queue is not None
        self.send_window -= size
        self.queued_bytes -= size
        self.session.release(size)
        self.stall_deadline = self.session.stall_deadline()
        while size:
            view = self.queue.popleft()
            if view.nbytes > size:
                self.queue.appendleft(view[size:])
                view = view[:size]
            frames.append(view)
            size -= view.nbytes
        if not self.queued_bytes:
            self._sent()

    def _sent(self) -> None:
        block, self._last_block = self._last_block, None
        if block is not None:
            self.send_last(block)
        else:
            self.drained()

    def discard(self) -> None:
        """Forget unsent data: the stream is over."""
        self.outbox.forget(self)
        self.session.release(self.queued_bytes)
        self.queued_bytes = 0
        self.queue = None

    def widen(self, increment: int) -> bool:
        """WINDOW_UPDATE or a changed SETTINGS_INITIAL_WINDOW_SIZE; False when the window overflows."""
        self.send_window += increment
        if self.queued_bytes and self.send_window > 0:
            self.outbox.enqueue(self)
        return self.send_window <= MAX_WINDOW_BYTES

    def reset(self, code: ErrorCode) -> None:
        """End the stream at once."""
        self.session.reset(self, code)
