"""The half of a request's stream that sends: an answer at once, or in pieces as its client takes them."""

import logging
from abc import abstractmethod

from modelservice_runtime.transport.http import Buffer, HttpRequest, HttpResponse
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http1.refusals import no_room
from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.http2.framing.frames import (
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    FrameType,
)
from modelservice_runtime.transport.http2.stream import Stream, StreamOwner
from modelservice_runtime.transport.rest.answer_heads import AnswerHeads
from modelservice_runtime.transport.streaming import AnswerStream, LostStream, Producer, StreamHead

log = logging.getLogger(__name__)


class AnsweringStream(Stream):
    """See the module's text, `Replier`, and `AnswerStream`, which it is once `stream` was called.

    `request` is what is in flight; without it all that is answered is dropped.
    """

    __slots__ = ("_heads", "_is_paused", "_port", "_producer", "client", "request")

    def __init__(self, session: StreamOwner, stream_id: int, port: HttpPort, heads: AnswerHeads) -> None:
        super().__init__(session, stream_id)
        self.client = session.client
        self.request: HttpRequest | None = None
        self._port = port
        self._heads = heads
        self._producer: Producer | None = None
        self._is_paused = False

    @abstractmethod
    def release_body(self) -> None:
        """The request is answered: its body counts no longer."""

    # Replier

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier`. Behind a head that has gone out nothing but a reset tells of a fault."""
        if request is not self.request:
            return
        if self._producer is not None:
            self.abort()
            return
        self.request = None
        try:
            self.answer(response, only_head=request.method == b"HEAD")
        except Exception:  # the last boundary: an answer that was cut off must not be taken for a whole one
            log.exception("internal error")
            self.reset(ErrorCode.INTERNAL_ERROR)

    def stream(self, request: HttpRequest, head: StreamHead, producer: Producer) -> AnswerStream:
        """See `Replier`."""
        if request is not self.request:
            return LostStream()
        self.release_body()
        self._producer = producer
        self.outbox.write_head(self.id, self._heads.of_stream(head), 0)
        # Also where the connection is full: what is written first waits, and only that can be caught up with.
        return self

    # AnswerStream

    @property
    def unsent_bytes(self) -> int:
        """See `AnswerStream`."""
        return self.queued_bytes

    def write(self, data: bytes) -> None:
        """See `AnswerStream`."""
        producer, request = self._producer, self.request
        if producer is None or request is None or not data or request.method == b"HEAD":
            return
        self._queue(data)
        if self.queued_bytes and not self._is_paused:
            self._pause(producer)

    def end(self) -> None:
        """See `AnswerStream`."""
        if self._producer is not None:
            self.request = self._producer = None
            self.send_last(b"")

    def abort(self) -> None:
        """See `AnswerStream`."""
        if self._producer is not None:
            self.request = self._producer = None
            self.reset(ErrorCode.INTERNAL_ERROR)

    # Stream

    def drained(self) -> None:
        """The client has caught up."""
        if self._is_paused:
            self._is_paused = False
            if self._producer is not None:
                self._producer.resume()

    def say_last(self) -> bool:
        """See `Stream`."""
        cut_off = getattr(self.request, "on_cut_off", None)
        if self._producer is not None:
            cut_off = self._producer.cut_off
        if cut_off is not None:
            cut_off()
        return cut_off is not None

    # inside

    def answer(self, response: HttpResponse, *, only_head: bool = False) -> None:
        """Send a whole answer and end the stream."""
        self.release_body()
        if self._port.has_no_room_for(response):
            response = no_room().response
        block, outbox, size = self._heads.of_answer(response), self.outbox, response.content_length
        if only_head or not size:
            self.send_last(block)
        elif size <= min(outbox.fast_bytes, outbox.window, self.send_window) and outbox.fast:
            self._send_small(
                block, response.body if isinstance(response.body, bytes) else b"".join(response.body)
            )
        else:
            outbox.write_head(self.id, block, 0)
            self._queue(*([response.body] if isinstance(response.body, bytes) else response.body))
            self.send_last(b"")

    def _send_small(self, block: bytes, body: bytes) -> None:
        """Both frames at once: what nearly all answers are."""
        size, outbox = len(body), self.outbox
        self.send_window -= size
        outbox.window -= size
        outbox.data_frames += 1
        head = FRAME_HEADER.pack(len(block) << 8 | FrameType.HEADERS, END_HEADERS, self.id)
        outbox.frames += (head, block, FRAME_HEADER.pack(size << 8, END_STREAM, self.id), body)
        if not outbox.corked:
            outbox.schedule()
        self.local_ended()

    def _queue(self, *buffers: Buffer) -> None:
        """Answers that their clients do not read take memory as requests do, and are counted with them."""
        self._port.buffers.held_bytes += sum([memoryview(buffer).nbytes for buffer in buffers])
        self.send_data(buffers)

    def _pause(self, producer: Producer) -> None:
        self._is_paused = True
        producer.pause()
