"""One request on one stream: its body, its application, its end."""

import logging
import math
import time

from modelservice_runtime.errors import internal_error
from modelservice_runtime.transport.http import (
    Buffer,
    HttpApplication,
    HttpRequest,
    HttpResponse,
    RequestHead,
)
from modelservice_runtime.transport.http1.bodies.body import (
    MIN_DIRECT_BYTES,
    RequestBody,
    TooMuchBufferedError,
    padding_bytes,
)
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http1.refusals import (
    RefusalError,
    check_expectation,
    no_room,
    too_large,
    too_many_connections,
    too_slow,
)
from modelservice_runtime.transport.http2.framing.errors import ErrorCode
from modelservice_runtime.transport.http2.stream import StreamOwner
from modelservice_runtime.transport.rest.answer_heads import CONTINUE_BLOCK, AnswerHeads
from modelservice_runtime.transport.rest.answering import AnsweringStream
from modelservice_runtime.transport.status import error_response

log = logging.getLogger(__name__)


class RequestStream(AnsweringStream):
    """See the module's text. A `head` that is an answer is given at once."""

    __slots__ = ("_application", "_body", "_body_started", "_head", "_linger_deadline", "_reserved_bytes")

    def __init__(
        self,
        session: StreamOwner,
        stream_id: int,
        port: HttpPort,
        heads: AnswerHeads,
        head: RequestHead | HttpResponse,
    ) -> None:
        super().__init__(session, stream_id, port, heads)
        self._application: HttpApplication = port.application
        self._head = head
        # While it arrives.
        self._body: RequestBody | None = None
        self._body_started = 0.0
        # Once it is answered, and still comes.
        self._linger_deadline = math.inf
        self._reserved_bytes = 0

    def opened(self, ended: int) -> None:
        """See `Stream`."""
        head = self._head
        self.remote_ended = bool(ended)
        if isinstance(head, HttpResponse):
            self.answer(head)
        elif not ended:
            self._expect_body(head)
        elif head.body_bytes > 0:
            self.reset(ErrorCode.PROTOCOL_ERROR)
        else:
            self._hand_over(head, b"")

    def received(self, data: bytes, start: int, stop: int, ended: int) -> None:
        """See `Stream`."""
        self.remote_ended = bool(ended)
        body, head = self._body, self._head
        if body is None or isinstance(head, HttpResponse):
            self._pass_over(ended)
            return
        received = body.size_bytes + stop - start
        if head.body_bytes >= 0 and (received > head.body_bytes or (ended and received < head.body_bytes)):
            self.reset(ErrorCode.PROTOCOL_ERROR)  # it has not the length that it announced (RFC 9113, 8.1.1)
            self.dropped()
            return
        try:
            self._collect(body, head, memoryview(data)[start:stop])
        except RefusalError as refusal:
            self.answer(refusal.response)
            return
        if ended:
            self._body = None
            self._hand_over(head, body.finish())
        else:
            self.session.credit(self)

    def dropped(self) -> None:
        """The client has gone, or has reset the stream: what it asked for is given up."""
        request, self.request = self.request, None
        self._producer = None
        self.release_body()
        if request is not None and request.on_disconnect is not None:
            try:
                request.on_disconnect()
            except Exception:  # the last boundary: other streams end all the same
                log.exception("internal error")

    def turn_ended(self) -> None:
        """Nothing more came with the head: from here on only who may ask sends a body."""
        head = self._head
        if self._body is None or isinstance(head, HttpResponse):
            return
        try:
            self._port.check_admission(head.target, head.headers, self.client)
        except RefusalError as refusal:
            self.answer(refusal.response)

    def check_deadline(self, now: float) -> None:
        """Refuse a body that comes too slowly."""
        if now > self._linger_deadline:
            self.session.answered(self)
        if self._body is None:
            return
        limits = self._port.limits
        allowed = limits.body_grace_seconds + self._body.size_bytes / limits.min_body_bytes_per_second
        if now > max(self._body_started, self.session.reading_since) + allowed:
            self.answer(too_slow().response)

    def leave(self, *, at_once: bool) -> None:
        """Nothing to do: an answer in pieces ends some time, and others are on their way."""

    def serve_probe(self) -> None:
        """Be on a connection beyond the limit."""
        self._application = self._port.serve_probe

    def release_body(self) -> None:
        """See `AnsweringStream`."""
        self._body = None
        if self._reserved_bytes:
            self.session.release(self._reserved_bytes)
            self._reserved_bytes = 0

    def local_ended(self) -> None:
        """See `Stream`. Of a body that was refused more is read for a moment.

        Clients that are reset while they send, curl and httpx among them, do not look at the answer.
        """
        if self.remote_ended:
            super().local_ended()
        else:
            self._linger_deadline = self._port.now + self._port.limits.linger_seconds

    # inside

    def _pass_over(self, ended: int) -> None:
        if not ended:
            self.session.credit(self)
        elif self._linger_deadline < math.inf:
            super().local_ended()

    def _expect_body(self, head: RequestHead) -> None:
        try:
            self._check_body(head)
        except RefusalError as refusal:
            self.answer(refusal.response)
            return
        self._body = RequestBody(self._reserve)
        self._body_started = self._port.now

    def _check_body(self, head: RequestHead) -> None:
        """Refuse what need not be read any further."""
        if head.body_bytes:
            if not self._port.admit_body(head.target, head.headers, head.body_bytes, self.client):
                self.session.after_turn.append(self)
            if self._application != self._port.application:
                raise too_many_connections()  # a body that comes slowly would keep a probe out
        if b"expect" in head.headers:
            check_expectation(head.headers[b"expect"])
            self.outbox.write_head(self.id, CONTINUE_BLOCK, 0)

    def _collect(self, body: RequestBody, head: RequestHead, piece: memoryview) -> None:
        max_bytes = self._port.limits.max_body_bytes
        if body.size_bytes + len(piece) > max_bytes:
            raise too_large(max_bytes)
        try:
            if head.body_bytes < MIN_DIRECT_BYTES:
                body.append(bytes(piece))
            elif piece:
                body.fill(piece, head.body_bytes, padding_bytes(head.headers))
        except TooMuchBufferedError:
            raise no_room() from None

    def _reserve(self, size_bytes: int) -> None:
        if not self.session.reserve(size_bytes):
            raise TooMuchBufferedError
        self._reserved_bytes += size_bytes

    def _hand_over(self, head: RequestHead, body: Buffer) -> None:
        self.request = request = HttpRequest(head, body, time.perf_counter_ns(), self)
        try:
            self._application(request)
        except Exception:  # the last boundary: no request is left without an answer
            log.exception("internal error")
            self.reply(request, error_response(internal_error()))
