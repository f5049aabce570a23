"""The sending half of a connection: flow control, backpressure, and one write for what one turn caused.

Small answers are appended to `frames` by the stream itself, as long as `fast` and the windows allow it.
What does not fit waits in its stream, and streams that may send take turns, a frame each.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.http2.framing.errors import ConnectionFailedError, ErrorCode
from modelservice_runtime.transport.http2.framing.frames import (
    DEFAULT_WINDOW_BYTES,
    END_HEADERS,
    FRAME_HEADER,
    MAX_WINDOW_BYTES,
    MIN_MAX_FRAME_BYTES,
    FrameType,
)
from modelservice_runtime.transport.http2.headers.hpack import EMPTY_TABLE

log = logging.getLogger(__name__)

# Larger frames would let one answer hold up the others for too long.
_MAX_FRAME_BYTES = 64 * 1024
# Data handed to the transport before looking whether it keeps up.
_FLUSH_BYTES = 256 * 1024
# One write call copies; from this size on the copy costs more than what it saves.
_MAX_JOINED_BYTES = 16 * 1024


class Sender(Protocol):
    """What an outbox asks of a stream with queued data."""

    id: int
    send_window: int
    queued_bytes: int

    def take(self, size: int, frames: list[Buffer]) -> None:
        """Move `size` queued bytes to `frames`."""


class Outbox:
    """See the module's text. `frames` and `window` belong to this class and to streams alone.

    `corked` is true while a flush is certain to come.
    """

    __slots__ = (
        "_call_soon",
        "_closed",
        "_joined",
        "_max_frame_bytes",
        "_prefix",
        "_transport",
        "_waiting",
        "corked",
        "data_frames",
        "fast",
        "fast_bytes",
        "frames",
        "paused",
        "stream_window",
        "window",
    )

    def __init__(self, transport: Any, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._transport = transport
        self._call_soon = call_soon
        self._waiting: dict[Sender, None] = {}
        self._prefix = b""
        self._closed = False
        self._joined = True
        self._max_frame_bytes = MIN_MAX_FRAME_BYTES
        self.corked = False
        self.paused = False
        self.fast = True
        self.fast_bytes = MIN_MAX_FRAME_BYTES
        self.frames: list[Buffer] = []
        self.window = DEFAULT_WINDOW_BYTES
        self.stream_window = DEFAULT_WINDOW_BYTES
        self.data_frames = 0

    def write(self, frame: bytes) -> None:
        """Send a frame that flow control does not concern."""
        self.frames.append(frame)
        if not self.corked:
            self.schedule()

    def write_head(self, stream_id: int, block: bytes, flags: int) -> None:
        """Send HEADERS with a block made of literals; `flags` may hold END_STREAM."""
        if self._prefix:
            block = self._prefix + block
            self._prefix = b""
            self._update_fast()
        self.write(
            FRAME_HEADER.pack(len(block) << 8 | FrameType.HEADERS, flags | END_HEADERS, stream_id) + block
        )

    def schedule(self) -> None:
        """Flush when the current callback and those already due have run."""
        self.corked = True
        self._call_soon(self.flush)

    def flush(self) -> None:
        """Hand everything to the transport."""
        self.corked = False
        frames = self.frames
        if not frames:
            return
        self.frames = []
        if self._closed:
            return
        joined, self._joined = self._joined, True
        try:
            if joined:
                self._transport.write(b"".join(frames))
            else:
                self._transport.writelines(frames)
        except Exception:  # the last boundary: what follows lost frames would be taken for something else
            log.exception("internal error with a connection")
            self._transport.abort()

    def close(self) -> None:
        """Flush for the last time; whatever is written from now on is dropped."""
        self.flush()
        self._closed = True

    def abandon(self) -> None:
        """The connection is lost: forget what is not sent, and the transport."""
        self._closed = True
        self._transport = None
        self.frames = []

    # flow control

    def widen(self, increment: int) -> None:
        """WINDOW_UPDATE of the connection; raises ConnectionFailedError."""
        self.window += increment
        if self.window > MAX_WINDOW_BYTES:
            raise ConnectionFailedError(
                ErrorCode.FLOW_CONTROL_ERROR, "the connection's window exceeds 2^31-1"
            )
        if self._waiting:
            self.pump()

    def enqueue(self, stream: Sender) -> None:
        """Let a stream with queued data take its turns as soon as it may."""
        self._waiting[stream] = None
        self.pump()

    def forget(self, stream: Sender) -> None:
        """The stream sends nothing any more."""
        self._waiting.pop(stream, None)

    def pump(self) -> None:
        """Send queued data as far as the windows and the transport allow."""
        unflushed = 0
        while self._waiting and self.window > 0 and not self.paused:
            stream = next(iter(self._waiting))
            del self._waiting[stream]
            limit = min(self.window, stream.send_window, self._max_frame_bytes)
            if limit <= 0:
                continue  # its own WINDOW_UPDATE brings it back
            unflushed += self._send_frame(stream, limit)
            if stream.queued_bytes:
                self._waiting[stream] = None
            if unflushed > _FLUSH_BYTES:
                unflushed = 0
                self.flush()
        if self.frames and not self.corked:
            self.schedule()

    def _send_frame(self, stream: Sender, limit: int) -> int:
        size = min(limit, stream.queued_bytes)
        self.frames.append(FRAME_HEADER.pack(size << 8 | FrameType.DATA, 0, stream.id))
        if size > _MAX_JOINED_BYTES:
            self._joined = False
        self.window -= size
        self.data_frames += 1
        stream.take(size, self.frames)
        return size

    # what the client and the transport say

    def limit_table(self, size: int) -> None:
        """SETTINGS_HEADER_TABLE_SIZE: whoever was allowed less says so in the next block (RFC 7541, 4.2)."""
        if size < 4096:
            self._prefix = EMPTY_TABLE
            self._update_fast()

    def limit_frames(self, size: int) -> None:
        """SETTINGS_MAX_FRAME_SIZE."""
        self._max_frame_bytes = self.fast_bytes = min(size, _MAX_FRAME_BYTES)

    def pause(self) -> None:
        """The transport's buffer is full."""
        self.paused = True
        self._update_fast()

    def resume(self) -> None:
        """The transport's buffer has room again."""
        self.paused = False
        self._update_fast()
        self.pump()

    def _update_fast(self) -> None:
        self.fast = not self.paused and not self._prefix
