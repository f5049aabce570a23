"""Requests and answers of one connection, in their order.

They are answered one after the other; while one is in flight nothing more is read, so a client that pipelines
or does not read its answers slows down itself only.

Two shortcuts lead around the parser, and neither changes what is accepted: a request whose head has the same
bytes as one that was parsed before needs no parsing, and a large body of announced length is read straight
into its memory.
"""

import asyncio
import logging
import time

import httptools

from modelservice_runtime.errors import internal_error
from modelservice_runtime.transport.http import (
    Buffer,
    HttpRequest,
    HttpResponse,
    RequestHead,
    render_stream_head,
)
from modelservice_runtime.transport.http1.answer_writer import AnswerWriter
from modelservice_runtime.transport.http1.bodies.body import (
    MIN_DIRECT_BYTES,
    TooMuchBufferedError,
    padding_bytes,
)
from modelservice_runtime.transport.http1.bodies.large_reads import LargeReads
from modelservice_runtime.transport.http1.body_stream import BodyStream
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http1.refusals import RefusalError, no_room
from modelservice_runtime.transport.http1.request_reader import Phase, RequestReader
from modelservice_runtime.transport.status import error_response
from modelservice_runtime.transport.streaming import AnswerStream, LostStream, Producer, StreamHead

log = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# A client that pipelines thousands of requests lets others in between.
_TURN_SECONDS = 0.005
# Tensors of less are copied in less time than a view takes.
_MIN_UNCOPIED_BYTES = 4096
_IDLE = Phase.IDLE  # read with every request; an enum's members are slow to look up


class Exchange(RequestReader, AnswerWriter, asyncio.Protocol):
    """See the module's text. `Connection` extends it with time and its end."""

    def __init__(self, server: HttpPort) -> None:
        RequestReader.__init__(self, server)
        AnswerWriter.__init__(self, server)
        # What is in flight: a request, and behind its answer's head the stream of its body.
        self._current: HttpRequest | BodyStream | None = None
        self._processing = False
        self._reading_paused = False
        self._large_reads: LargeReads | None = None
        self._application = server.application
        # The next answer is the last one.
        self._retiring = False

    def close(self) -> None:
        """Close after what is buffered has been sent."""
        raise NotImplementedError

    def _linger(self) -> None:
        """Close behind the last answer, without destroying it."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Parse, answer what is complete, and stop reading while an answer is on its way."""
        # `waits_for_request`, without a call for each small request.
        if (
            self._phase is not _IDLE
            or self._current is not None
            or self._requests
            or self._writing_paused
            or self._last_request_seen
            or self._refusal is not None
        ):
            self._parse(data)
            return
        end = data.find(b"\r\n\r\n") + 4
        start = data[:end]
        head = self._server.known_heads.get(start)
        if head is None:
            self._parse(data)
        elif len(data) - end == head.body_bytes:
            uncopied = head.has_tensors and head.body_bytes >= _MIN_UNCOPIED_BYTES
            self._answer(head, memoryview(data)[end:] if uncopied else data[end:])
        elif head.body_bytes + end - len(data) >= MIN_DIRECT_BYTES and len(data) > end:
            self._receive_known(start, head, memoryview(data)[end:])
        else:
            self._parse(data)

    @property
    def waits_for_request(self) -> bool:
        """Nothing has come that is not answered, and more may come."""
        return (
            self._phase is _IDLE
            and self._current is None
            and not self._requests
            and not self._writing_paused
            and not self._last_request_seen
            and self._refusal is None
        )

    def _answer(self, head: RequestHead, body: Buffer) -> None:
        """Hand over a request whose head keeps the connection open, while none is in flight."""
        request = HttpRequest(head, body, time.perf_counter_ns(), self)
        self._processing = True
        self._hand_over(request)
        self._processing = False

    def _hand_over(self, request: HttpRequest) -> None:
        self._current = request
        try:
            self._application(request)
        except Exception:  # the last boundary: no request is left without an answer
            log.exception("internal error")
            self.reply(request, error_response(internal_error()))

    def _is_busy(self) -> bool:
        return (
            self._current is not None
            or bool(self._requests)
            or self._writing_paused
            or self._refusal is not None
        )

    def _parse(self, data: bytes) -> None:
        if self._phase is Phase.LINGER or self._refusal is not None:
            return
        was_idle, body = self._phase is _IDLE, self._body
        upgrades = self._feed(data)
        if not was_idle and body is self._body and self._refusal is None:
            self._check_framing(len(data))
        if not self._is_admitted and self._phase is Phase.BODY and self._refusal is None:
            try:
                self._check_admission(self._target, self._headers)
            except RefusalError as refusal:
                self._refusal = refusal.response
        if was_idle and not upgrades and len(self._requests) == 1:
            head = self._requests[0].head
            self._remember_head(data, head, head.body_bytes)
        self._process()
        here_bytes = self._body.size_bytes
        is_large = self._phase is Phase.BODY and self._announced_bytes - here_bytes >= MIN_DIRECT_BYTES
        if is_large and here_bytes and not self._is_busy():  # with a head alone there is time
            self._leave_parser(data if was_idle and not upgrades else b"")

    def _remember_head(self, data: bytes, head: RequestHead, body_bytes: int) -> None:
        """Keep the head for the next request, where `data` was all of it and `body_bytes` of the body."""
        end = data.find(b"\r\n\r\n") + 4
        if len(data) - end == body_bytes and head.keep_alive and b"expect" not in head.headers:
            self._server.remember(data[:end], head)

    # large bodies

    def _leave_parser(self, packet: bytes) -> None:
        """Read the rest of the body without the parser; `packet` is head and beginning, if it was one."""
        head = self._make_head()
        if packet:
            self._remember_head(packet, head, self._body.size_bytes)
        self._parser = httptools.HttpRequestParser(self)  # the old one still waits for the body
        self._start_reading(head)

    def _receive_known(self, start: bytes, head: RequestHead, piece: memoryview) -> None:
        """A large body begins behind a known head, whose bytes are `start`."""
        self._start_body()
        try:
            self._check_admission(head.target, head.headers)
            self._body.begin(piece, head.body_bytes, padding_bytes(head.headers))
        except RefusalError as refusal:
            self._refuse(refusal)
        except TooMuchBufferedError:
            self._refuse(no_room())
        else:
            self._start_reading(head).expect(start, head)

    def _start_reading(self, head: RequestHead) -> LargeReads:
        """Let the rest of a large body come straight into its memory; the parser sees no more of it."""
        reads = self._large_reads
        if reads is None:
            reads = self._large_reads = LargeReads(self)
            self._transport.set_protocol(reads)
        reads.receive(self._body, head)
        return reads

    def repeated(self, head: RequestHead, content: memoryview, size_bytes: int) -> None:
        """See `BodyOwner.repeated`."""
        try:
            if size_bytes == len(content):
                self._reserve(size_bytes)
                self._answer(head, content)
                return
            self._start_body()
            self._check_admission(head.target, head.headers)
            self._body.adopt(content, size_bytes)
        except RefusalError as refusal:
            self._refuse(refusal)
        except TooMuchBufferedError:
            self._refuse(no_room())
        else:
            self._start_reading(head)

    def body_complete(self, head: RequestHead) -> None:
        """See `BodyOwner.body_complete`."""
        if head.keep_alive and not self._writing_paused:
            self._phase = _IDLE
            self._answer(head, self._body.finish())
        else:
            self._queue_request(head)
            self._process()

    def body_refused(self) -> None:
        """See `BodyOwner.body_refused`."""
        self._refuse(no_room())

    # answers

    def send_continue(self) -> None:
        """See `RequestReader`; with an answer still due the client sends the body unasked."""
        if self._current is None and not self._requests:
            self._write_all_pieces()  # of an earlier answer
            self._transport.write(_CONTINUE)

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier.reply`."""
        if request is not self._current:
            self._break_off(request)
            return
        self._current = None
        try:
            self._reply(request, response)
        except Exception:  # the last boundary: an answer that was cut off must not be taken for a whole one
            log.exception("internal error")
            self.abort()

    def _reply(self, request: HttpRequest, response: HttpResponse) -> None:
        if self._reserved_bytes:
            self._release_body()
        head, server = request.head, self._server
        body = response.body
        small = body if type(body) is bytes and len(body) < MIN_DIRECT_BYTES else None
        if small is None and server.has_no_room_for(response):
            response = no_room().response
        if head.is_plain and not (response.close or server.closing or self._retiring):
            start = server.response_start(response.status, response.content_type)
            if small is not None and not response.headers:
                self._transport.write(b"%b%d\r\n\r\n%b" % (start, len(small), small))
            else:
                self._write_plain(start, response)
            self._deadline = server.now + self._limits.idle_timeout_seconds
            has_more = self._requests or self._reading_paused or self._last_request_seen or self._refusal
            if has_more and not self._processing:
                self._process()
        else:
            self._reply_in_full(head, response)

    def _reply_in_full(self, head: RequestHead, response: HttpResponse) -> None:
        """An answer without a body, or one that says something of its connection."""
        close = not head.keep_alive or response.close or self._leaves
        self._write(response, close=close, only_head=head.method == b"HEAD", old=head.is_http_1_0)
        self._go_on(close=close)

    def _go_on(self, *, close: bool) -> None:
        """Behind an answer: leave, or take what came meanwhile."""
        self._deadline = self._server.now + self._limits.idle_timeout_seconds
        if close:
            self._requests.clear()
            self._linger()
        elif not self._processing:
            self._process()

    # answers in pieces

    def stream(self, request: HttpRequest, head: StreamHead, producer: Producer) -> AnswerStream:
        """See `Replier.stream`."""
        if request is not self._current or self._transport is None:
            return LostStream()
        self._release_body()
        old = request.head.is_http_1_0
        closes = old or not request.head.keep_alive or self._leaves
        # Behind a body without a length nothing can follow.
        self._last_request_seen = self._last_request_seen or old
        self._current = self._stream = stream = BodyStream(self, request, producer, closes=closes)
        start = render_stream_head(head, self._server.date(), chunked=not old, close=closes)
        self._transport.write(start)
        if self._writing_paused:
            producer.pause()
        return stream

    def end_stream(self, stream: BodyStream) -> None:
        """See `StreamConnection`."""
        if stream is not self._stream or self._transport is None:
            return
        self._current = self._stream = None
        self._transport.write(stream.last_bytes)
        self._go_on(close=stream.closes or self._leaves)

    def _break_off(self, request: HttpRequest) -> None:
        """Behind a head that has gone out nothing but the end of the connection tells of a fault."""
        if self._stream is not None and self._stream.request is request:
            self.abort()

    # inside

    @property
    def _leaves(self) -> bool:
        """The answer in flight is the last one."""
        is_last = not self._requests and self._refusal is None
        return is_last and (self._server.closing or self._retiring)

    def _process(self) -> None:
        """Hand over queued requests until one stays in flight; then refuse what could not be parsed."""
        if self._transport is None:
            return
        self._processing = True
        yield_at = time.perf_counter() + _TURN_SECONDS
        has_turn = True
        while self._requests and has_turn and self._current is None and not self._writing_paused:
            self._hand_over(self._requests.popleft())
            has_turn = time.perf_counter() < yield_at
        self._processing = False
        if not has_turn and self._current is None and self._requests:
            self._server.call_soon(self._process)
        if self._phase is Phase.LINGER or self._transport.is_closing():
            return
        busy = self._current is not None or self._writing_paused or bool(self._requests)
        if not busy and self._refusal is not None:
            self._write(self._refusal, close=True, only_head=False, old=False)
            self._linger()
            return
        self._pause_reading(busy)
        if not busy and self._last_request_seen:
            self.close()

    def _pause_reading(self, pause: bool) -> None:
        """Stop reading only when there is something unread behind the request in flight."""
        if pause and not self._reading_paused:
            if self._requests or self._phase is not Phase.IDLE:
                self._stop_reading()
        elif not pause and self._reading_paused:
            if self._large_reads is not None and self._large_reads.has_rest:
                self._large_reads.go_on_soon(self._server.call_soon)
                return
            self._reading_paused = False
            self._transport.resume_reading()
            self._shift_deadline()

    def _stop_reading(self) -> None:
        self._transport.pause_reading()
        self._reading_paused = True

    def read_on(self) -> None:
        """See `BodyOwner.read_on`."""
        if self._large_reads is None or self._phase is Phase.LINGER:
            return
        if self._large_reads.has_rest and not self._reading_paused:
            self._stop_reading()
        self._pause_reading(self._is_busy())

    def _refuse(self, refusal: RefusalError) -> None:
        self._refusal = refusal.response
        self._process()
