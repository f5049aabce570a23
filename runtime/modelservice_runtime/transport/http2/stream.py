"""One stream of a connection: its windows, its unsent data, and what a protocol on top fills in."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.http2.errors import ErrorCode
from modelservice_runtime.transport.http2.frames import END_STREAM, MAX_WINDOW_BYTES

if TYPE_CHECKING:
    from modelservice_runtime.transport.http2.session import Session


class Stream(ABC):
    """See the module's text.

    ``queue`` holds data that waits for a window or for the transport; ``queued_bytes`` of it count against
    the server's limit. ``remote_ended``: the client has sent END_STREAM.
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

    def __init__(self, session: "Session", stream_id: int) -> None:
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
        """The request's head is there; with ``ended`` nothing follows."""

    @abstractmethod
    def received(self, data: bytes, start: int, stop: int, ended: int) -> None:
        """``data[start:stop]`` arrived, and with ``ended`` nothing follows; may be empty."""

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

    @abstractmethod
    def turn_ended(self) -> None:
        """The turn in which this stream was put into ``Connection.after_turn`` is over."""

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
        """End our side with a header block, behind the queued data."""
        if self.queued_bytes:
            self._last_block = block
        else:
            self.outbox.write_head(self.id, block, END_STREAM)
            self.session.answered(self)

    def take(self, size: int, frames: list[Buffer]) -> None:
        """Move ``size`` queued bytes to ``frames``: one DATA frame's payload."""
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
