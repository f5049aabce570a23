"""Bytes to requests: the parser's callbacks, what one message may cost, and why one is refused.

llhttp (in httptools) refuses malformed framing: Content-Length with Transfer-Encoding, bare LF, folded
headers, bad chunk sizes.
"""

import time
from collections import deque
from enum import Enum, auto

import httptools

from modelservice_runtime.transport.client import UNKNOWN_CLIENT
from modelservice_runtime.transport.http import HttpLimits, HttpRequest, HttpResponse, RequestHead
from modelservice_runtime.transport.http1.bodies.body import RequestBody, TooMuchBufferedError
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http1.refusals import (
    RefusalError,
    check_expectation,
    head_too_large,
    no_room,
    target_too_long,
    too_large,
    too_many_connections,
)
from modelservice_runtime.transport.streaming import AnswerStream, Producer, StreamHead

# Each wish to upgrade costs a copy of what follows it.
_MAX_UPGRADES_AT_ONCE = 16
# What is left out when a head is parsed again; its expectation has been met then, and once is enough.
_UPGRADE_HEADERS = frozenset({b"connection", b"upgrade", b"http2-settings", b"expect"})


class Phase(Enum):
    """What the connection waits for; decides which timeout holds."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    LINGER = auto()


class RequestReader:
    """Parses one client's bytes; complete requests wait in `_requests`, a refusal in `_refusal`."""

    _target: bytes
    _headers: dict[bytes, bytes]
    _head_bytes: int
    _wire_bytes: int
    _header_count: int
    _head_complete: bool
    _announced_bytes: int
    _is_admitted: bool
    _body: RequestBody
    _body_started: float
    _chunks: int

    def __init__(self, server: HttpPort) -> None:
        self._server = server
        self._limits: HttpLimits = server.limits
        self._parser = httptools.HttpRequestParser(self)
        self._phase = Phase.IDLE
        self._deadline = server.now + server.limits.idle_timeout_seconds
        self._requests: deque[HttpRequest] = deque()
        self._refusal: HttpResponse | None = None
        self._last_request_seen = False
        self._reserved_bytes = 0
        self._probes_only = False
        self.client = UNKNOWN_CLIENT
        self._start_message()

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier.reply`."""
        raise NotImplementedError

    def stream(self, request: HttpRequest, head: StreamHead, producer: Producer) -> AnswerStream:
        """See `Replier.stream`."""
        raise NotImplementedError

    def send_continue(self) -> None:
        """Ask for the body of a request that expects to be asked (RFC 9110, 10.1.1)."""
        raise NotImplementedError

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """A request's first byte arrived."""
        self._start_message()
        self._phase = Phase.HEAD
        self._deadline = self._server.now + self._limits.head_timeout_seconds

    def on_url(self, url: bytes) -> None:
        """Collect the request target, which may come in pieces."""
        self._target += url
        if len(self._target) > self._limits.max_target_bytes:
            raise target_too_long(self._limits.max_target_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a trailer behind a chunked body counts, but is not kept."""
        self._head_bytes += len(name) + len(value) + 4
        self._header_count += 1
        if self._header_count > self._limits.max_headers or self._head_bytes > self._limits.max_head_bytes:
            raise head_too_large(self._limits)
        if self._head_complete:
            return
        key = name.lower()
        if key in self._headers:
            if key == b"host":
                raise RefusalError(400, "malformed HTTP: more than one Host header")
            value = self._headers[key] + b", " + value
        self._headers[key] = value

    def on_headers_complete(self) -> None:
        """Refuse what need not be read any further."""
        self._head_complete = True
        headers = self._headers
        version = self._parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise RefusalError(505, "this server speaks HTTP/1.1 and HTTP/1.0")
        elif b"host" not in headers:
            raise RefusalError(400, "malformed HTTP: HTTP/1.1 needs a Host header")
        if b"transfer-encoding" in headers:
            self._check_transfer_encoding(headers[b"transfer-encoding"], version)
            self._announced_bytes = -1
        elif b"content-length" not in headers:
            return
        else:
            self._announced_bytes = int(headers[b"content-length"])
        if self._announced_bytes:
            self._is_admitted = self._server.admit_body(
                self._target, headers, self._announced_bytes, self.client
            )
        if self._probes_only and self._announced_bytes:
            raise too_many_connections()  # a body that comes slowly would keep a probe out
        self._phase = Phase.BODY
        self._body_started = self._server.now
        if b"expect" in headers and version != "1.0":  # such clients know no 100 (RFC 9110, 10.1.1)
            check_expectation(headers[b"expect"])
            self.send_continue()

    def on_chunk_header(self) -> None:
        """Refuse a body cut into crumbs, whose cost is out of proportion to its size."""
        self._chunks += 1
        surplus = self._chunks - self._limits.free_chunks
        if surplus > 0 and surplus * self._limits.min_mean_chunk_bytes > self._body.size_bytes:
            raise RefusalError(400, "the body comes in too many too small chunks")

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._body.size_bytes + len(body) > self._limits.max_body_bytes:
            raise too_large(self._limits.max_body_bytes)
        try:
            self._body.append(body)
        except TooMuchBufferedError:
            raise no_room() from None

    def on_message_complete(self) -> None:
        """Queue the request."""
        self._queue_request(self._make_head())

    def _make_head(self) -> RequestHead:
        parser = self._parser
        return RequestHead(
            parser.get_method(),
            self._target,
            self._headers,
            parser.should_keep_alive(),
            parser.get_http_version() == "1.0",
            self._announced_bytes,
        )

    def _queue_request(self, head: RequestHead) -> None:
        self._requests.append(HttpRequest(head, self._body.finish(), time.perf_counter_ns(), self))
        self._last_request_seen = not head.keep_alive
        self._phase = Phase.IDLE
        self._deadline = self._server.now + self._limits.idle_timeout_seconds

    # inside

    def _start_message(self) -> None:
        self._target = b""
        self._headers = {}
        self._head_bytes = self._wire_bytes = 0
        self._header_count = 0
        self._head_complete = False
        self._announced_bytes = 0
        self._is_admitted = self._server.admit is None
        self._body = RequestBody(self._reserve)
        self._body_started = 0.0
        self._chunks = 0

    def _start_body(self) -> None:
        self._start_message()
        self._phase = Phase.BODY
        self._body_started = self._server.now

    def _feed(self, data: bytes) -> int:
        """Parse; returns how many requests wished for another protocol, behind which the parser stops."""
        upgrades = 0
        while self._refusal is None:
            if upgrades > _MAX_UPGRADES_AT_ONCE:
                self._refusal = RefusalError(400, "too many pipelined requests with Upgrade").response
                break
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                upgrades += 1
                data = self._without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserCallbackError as error:
                self._remember_refusal(error)
            except httptools.HttpParserError as error:
                if not self._last_request_seen:
                    self._refusal = RefusalError(400, f"malformed HTTP: {error}").response
                break
        return upgrades

    def _check_framing(self, received_bytes: int) -> None:
        """A header, trailer or chunk extension that grows over many packets calls nothing until it ends.

        `received_bytes` came in a packet that neither began nor ended a message.
        """
        self._wire_bytes += received_bytes
        surplus = self._wire_bytes - 2 * self._limits.max_head_bytes
        if self._phase is Phase.HEAD and surplus > 0:
            self._refusal = RefusalError(431, "the request's head is too large").response
        elif self._phase is Phase.BODY and self._announced_bytes < 0 and surplus > 2 * self._body.size_bytes:
            self._refusal = RefusalError(400, "the body has more extensions or trailers than data").response

    def _check_transfer_encoding(self, value: bytes, version: str) -> None:
        if version == "1.0":
            raise RefusalError(400, "malformed HTTP: HTTP/1.0 has no Transfer-Encoding")
        if value.strip().lower() != b"chunked":
            raise RefusalError(501, "the only Transfer-Encoding supported is chunked")

    def _check_admission(self, target: bytes, headers: dict[bytes, bytes]) -> None:
        self._server.check_admission(target, headers, self.client)
        self._is_admitted = True

    def _reserve(self, size_bytes: int) -> None:
        self._reserved_bytes += size_bytes
        buffers = self._server.buffers
        buffers.held_bytes += size_bytes
        if buffers.held_bytes > self._limits.max_buffered_bytes:
            raise TooMuchBufferedError

    def _release_body(self) -> None:
        self._server.buffers.held_bytes -= self._reserved_bytes
        self._reserved_bytes = 0

    def _remember_refusal(self, error: httptools.HttpParserCallbackError) -> None:
        cause = error.__context__
        if not isinstance(cause, RefusalError):
            raise error
        self._refusal = cause.response

    def _without_upgrade(self) -> bytes:
        """Ignore a wish for another protocol, as RFC 9110 7.8 allows, and read the request as plain HTTP.

        llhttp stops behind such a head, so the head is parsed again without the wish.
        """
        request = self._requests.pop()
        self._parser = httptools.HttpRequestParser(self)
        if request.method == b"CONNECT":
            allow = ((b"Allow", b"GET, HEAD, POST"),)
            self._refusal = RefusalError(405, "CONNECT is not supported", allow).response
            return b""
        old = request.head.is_http_1_0
        lines = [b"%b %b HTTP/1.%d" % (request.method, request.target, 0 if old else 1)]
        lines += [b"%b: %b" % pair for pair in request.headers.items() if pair[0] not in _UPGRADE_HEADERS]
        if not request.head.keep_alive:
            lines.append(b"connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _shift_deadline(self) -> None:
        """The time in which we did not read does not count against the client."""
        if self._phase is Phase.HEAD:
            self._deadline = self._server.now + self._limits.head_timeout_seconds
        elif self._phase is Phase.BODY:
            self._body_started = self._server.now

    def _current_deadline(self) -> float:
        if self._phase is not Phase.BODY:
            return self._deadline
        allowed = (
            self._limits.body_grace_seconds + self._body.size_bytes / self._limits.min_body_bytes_per_second
        )
        return self._body_started + allowed
