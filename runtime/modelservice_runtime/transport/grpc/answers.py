"""A call's answers: messages, and the status at their end.

A small answer costs two entries in the outbox; everything less common goes the longer way.
"""

import struct
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from modelservice_runtime.transport.content_encoding import MIN_COMPRESSED_BYTES, encode_body
from modelservice_runtime.transport.grpc.head import CallHead
from modelservice_runtime.transport.grpc.messages import PREFIX_BYTES
from modelservice_runtime.transport.grpc.stream import CallHandler
from modelservice_runtime.transport.grpc.wire import HEAD_BLOCK, TRAILERS_OK_BLOCK, build_trailers_block
from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.http2.framing.frames import END_HEADERS, END_STREAM, FrameType
from modelservice_runtime.transport.http2.stream import Stream, StreamOwner
from modelservice_runtime.transport.status import GrpcStatus

# The frames of a small answer, packed at once: HEADERS, then the head of DATA and the message's prefix.
_HEAD_AND_DATA = struct.Struct(f">IBI{len(HEAD_BLOCK)}sIBIBI")
_DATA = struct.Struct(">IBIBI")
_TRAILERS_OK = struct.Struct(f">IBI{len(TRAILERS_OK_BLOCK)}s")
_HEAD_LENGTH_AND_TYPE = len(HEAD_BLOCK) << 8 | FrameType.HEADERS
_TRAILERS_LENGTH_AND_TYPE = len(TRAILERS_OK_BLOCK) << 8 | FrameType.HEADERS
_PREFIX = struct.Struct(">BI")
_MAX_ANSWER_BYTES = 2**32 - 1
_MAX_JOINED_BYTES = 16 * 1024
# Larger answers go out as they are: compressing one would keep the event loop from others.
_MAX_COMPRESSED_BYTES = 1024 * 1024
_LAST = END_HEADERS | END_STREAM


class AnsweringStream(Stream):
    """The half of a call that sends; see `GrpcCall`."""

    __slots__ = ("_done", "_head", "_head_sent", "_in_work", "on_writable")

    def __init__(self, session: StreamOwner, stream_id: int, head: CallHead) -> None:
        super().__init__(session, stream_id)
        self.on_writable: Callable[[], None] | None = None
        self._head = head
        self._head_sent = False
        self._done = False
        # Bytes of the messages that are not answered yet, oldest first, from a large one on.
        self._in_work: deque[int] = deque()

    @property
    def writable(self) -> bool:
        """See `GrpcCall`."""
        return not self.outbox.paused and self._takes_answers

    def send(self, message: Buffer | Sequence[Buffer]) -> None:
        """See `GrpcCall`."""
        if self._done:
            return
        if self._in_work:
            self.session.release(self._in_work.popleft())
        outbox = self.outbox
        if type(message) is not bytes:
            message = _join_small(message)
        size = len(message) + PREFIX_BYTES
        if (
            type(message) is not bytes
            or size > outbox.fast_bytes
            or size > self.send_window
            or size > outbox.window
            or not outbox.fast
            or self.queued_bytes
            or self._head.answer_encoding
        ):
            self._send_slowly(message)
            return
        self.send_window -= size
        outbox.window -= size
        outbox.data_frames += 1
        if self._head_sent:
            frame = _DATA.pack(size << 8, 0, self.id, 0, size - PREFIX_BYTES)
        else:
            self._head_sent = True
            frame = _HEAD_AND_DATA.pack(
                _HEAD_LENGTH_AND_TYPE,
                END_HEADERS,
                self.id,
                HEAD_BLOCK,
                size << 8,
                0,
                self.id,
                0,
                size - PREFIX_BYTES,
            )
        outbox.frames += (frame, message)
        if not outbox.corked:
            outbox.schedule()

    def finish(self, status: GrpcStatus = GrpcStatus.OK, message: str = "") -> None:
        """See `GrpcCall`."""
        if self._done:
            return
        self._end()
        outbox = self.outbox
        if status is GrpcStatus.OK and self._head_sent and not self.queued_bytes and outbox.fast:
            outbox.frames.append(
                _TRAILERS_OK.pack(_TRAILERS_LENGTH_AND_TYPE, _LAST, self.id, TRAILERS_OK_BLOCK)
            )
            if not outbox.corked:
                outbox.schedule()
            self.session.answered(self)
            return
        block = build_trailers_block(status, message)
        self.send_last(block if self._head_sent else HEAD_BLOCK + block)

    # inside

    @property
    def _takes_answers(self) -> bool:
        return self.queued_bytes <= self.session.limits.unsent_high_bytes

    def _send_slowly(self, message: Buffer | Sequence[Buffer]) -> None:
        """Any message: in several buffers, compressed, or larger than what may be sent now."""
        buffers: list[Buffer] = [message] if isinstance(message, Buffer) else list(message)
        size = sum([memoryview(buffer).nbytes for buffer in buffers])
        compressed = 0
        if self._head.answer_encoding and MIN_COMPRESSED_BYTES <= size <= _MAX_COMPRESSED_BYTES:
            buffers = [encode_body(buffers, self._head.answer_encoding)]
            size, compressed = len(buffers[0]), 1
        if size > _MAX_ANSWER_BYTES or not self.session.reserve(size + PREFIX_BYTES):
            self._give_up(GrpcStatus.RESOURCE_EXHAUSTED, "the answer exceeds the server's buffers")
            return
        if not self._head_sent:
            self._head_sent = True
            self.outbox.write_head(self.id, self._head.answer_block, 0)
        self.send_data([_PREFIX.pack(compressed, size), *buffers])

    @abstractmethod
    def _give_up(self, status: GrpcStatus, message: str) -> None:
        """End the call for a reason outside the service."""

    @abstractmethod
    def _end(self) -> CallHandler | None:
        """Nothing more is received or sent beyond what is queued; returns the handler."""


def _join_small(message: Buffer | Sequence[Buffer]) -> Buffer | Sequence[Buffer]:
    """A message whose copy costs less than buffers of its own as one."""
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message) if memoryview(message).nbytes <= _MAX_JOINED_BYTES else message
    size = sum([memoryview(buffer).nbytes for buffer in message])
    return b"".join(message) if size <= _MAX_JOINED_BYTES else message
