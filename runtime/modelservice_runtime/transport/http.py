"""HTTP requests, responses and limits as plain values; no I/O."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol, TypeAlias

from modelservice_runtime.transport.client import Client
from modelservice_runtime.transport.streaming import AnswerStream, Producer, StreamHead

Buffer: TypeAlias = bytes | bytearray | memoryview

JSON = b"application/json"
OCTET_STREAM = b"application/octet-stream"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
EVENT_STREAM = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one client may cost. Times are seconds.

    A body must arrive at `min_body_bytes_per_second` on average after a grace of
    `body_grace_seconds`; a chunked one may not be cut into crumbs.
    """

    max_body_bytes: int = 64 * 1024 * 1024
    max_buffered_bytes: int = 512 * 1024 * 1024
    max_connections: int = 4096
    probe_places: int = 16
    refusal_places: int = 48
    max_target_bytes: int = 8 * 1024
    max_head_bytes: int = 32 * 1024
    max_headers: int = 100
    free_chunks: int = 4096
    min_mean_chunk_bytes: int = 64
    head_timeout_seconds: float = 10.0
    body_grace_seconds: float = 20.0
    min_body_bytes_per_second: float = 16 * 1024
    idle_timeout_seconds: float = 620.0
    max_connection_age_seconds: float | None = 1800.0
    max_connection_age_grace_seconds: float = 300.0
    write_stall_seconds: float = 20.0
    linger_seconds: float = 2.0
    sweep_seconds: float = 0.5


@dataclass(slots=True)
class HttpResponse:
    """A response without its framing; `headers` are extra pairs. Several buffers are sent one by one."""

    status: int
    body: bytes | Sequence[Buffer] = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False

    @property
    def content_length(self) -> int:
        """Bytes of the body."""
        if isinstance(self.body, bytes):
            return len(self.body)
        length = 0
        for buffer in self.body:
            length += buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)
        return length


class Replier(Protocol):
    """Where a request came from and its answer goes.

    `client` is who is at the other end.
    """

    client: Client

    def reply(self, request: "HttpRequest", response: HttpResponse) -> None:
        """Send the answer to `request`; ignored when the client has gone."""

    def stream(self, request: "HttpRequest", head: StreamHead, producer: Producer) -> AnswerStream:
        """Begin an answer to `request` whose body comes in pieces."""


@dataclass(slots=True, eq=False)
class RequestHead:
    """A request's start line and headers, which all requests with the same bytes share; never modified.

    Header names are lower case. `body_bytes` is the announced length, -1 where the body is chunked.
    `is_plain` tells that the answer has a body and neither says anything of the connection nor ends it.
    `has_tensors` tells that binary tensors are in the body.
    `plan` belongs to the application: what answers such requests, once it knows.
    """

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    keep_alive: bool
    is_http_1_0: bool
    body_bytes: int
    plan: "Callable[[HttpRequest], HttpResponse | None] | None" = None
    is_plain: bool = field(init=False)
    has_tensors: bool = field(init=False)

    def __post_init__(self) -> None:
        self.has_tensors = b"inference-header-content-length" in self.headers
        self.is_plain = self.keep_alive and not self.is_http_1_0 and self.method != b"HEAD"


Told: TypeAlias = Mapping[str, str | int | float | tuple[str, ...]]
"""What a handler says of its request to logs and traces, by the names of OpenTelemetry's conventions."""

_NOTHING: Told = {}


class HttpRequest:
    """A complete request; `body` is never modified after this.

    `received_ns` is the performance counter's time of the last byte. `on_disconnect` is called when the
    client goes away before the answer, `on_cut_off` where it is set when the server closes before it: what
    is answered then still goes out. `caller` is set where a guard asked who it is.
    """

    # What is set for some requests only takes the others no time.
    caller: object
    on_cut_off: Callable[[], None]
    _told: Told
    __slots__ = ("_told", "body", "caller", "head", "on_cut_off", "on_disconnect", "received_ns", "source")

    def __init__(self, head: RequestHead, body: Buffer, received_ns: int, source: Replier) -> None:
        self.head = head
        self.body = body
        self.received_ns = received_ns
        self.source = source
        self.on_disconnect: Callable[[], None] | None = None

    @property
    def method(self) -> bytes:
        """As sent: upper case for every standard method."""
        return self.head.method

    @property
    def target(self) -> bytes:
        """Path and query, or an absolute URI, as sent."""
        return self.head.target

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Values by name; values of a repeated name are joined with commas."""
        return self.head.headers

    @property
    def owner(self) -> str:
        """One name for all that a client asks, and for nobody else; empty where nobody is asked for one."""
        return str(getattr(self, "caller", "")) or self.source.client.certificate or ""

    @property
    def told(self) -> Told:
        """What its handler says of it to logs and traces."""
        return getattr(self, "_told", _NOTHING)

    def tell(self, told: Told) -> None:
        """Add to what logs and traces are told."""
        self._told = {**self.told, **told}

    def reply(self, response: HttpResponse) -> None:
        """Answer this request; call it once, now or later, on the event loop's thread."""
        self.source.reply(self, response)

    def stream(self, head: StreamHead, producer: Producer) -> AnswerStream:
        """Answer this request in pieces, in place of `reply`.

        `on_disconnect` is called when the client goes away before the end.
        """
        return self.source.stream(self, head, producer)


HttpApplication: TypeAlias = Callable[[HttpRequest], None]
"""Answers requests, now or later."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}
_EXTRA = b"%b: %b\r\n"
_CLOSE = b"Connection: close\r\n"
_KEEP_ALIVE = b"Connection: keep-alive\r\n"


def render_date(unix_seconds: float) -> bytes:
    """An IMF-fixdate (RFC 9110, 5.6.7); the words of `strftime` would follow the locale."""
    utc = time.gmtime(unix_seconds)
    date = f"{_DAYS[utc.tm_wday]}, {utc.tm_mday:02} {_MONTHS[utc.tm_mon - 1]} {utc.tm_year}"
    return f"{date} {utc.tm_hour:02}:{utc.tm_min:02}:{utc.tm_sec:02} GMT".encode("ascii")


def render_start(status: int, content_type: bytes, date: bytes) -> bytes:
    """The part of a head that answers share: up to the Content-Length, whose number is still missing.

    `date` comes from `render_date`.
    """
    return b"%bDate: %b\r\nContent-Type: %b\r\nContent-Length: " % (_STATUS_LINES[status], date, content_type)


def render_head(start: bytes, response: HttpResponse, *, close: bool, announce_keep_alive: bool) -> bytes:
    """Status line and headers, up to and with the empty line; `start` comes from `render_start`."""
    extra = _render_headers(response.headers) if response.headers else b""
    if close:
        extra += _CLOSE
    elif announce_keep_alive:
        extra += _KEEP_ALIVE
    return b"%b%d\r\n%b\r\n" % (start, response.content_length, extra)


def render_stream_head(head: StreamHead, date: bytes, *, chunked: bool, close: bool) -> bytes:
    """Status line and headers of a body that comes in pieces; `date` comes from `render_date`."""
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    extra = _render_headers(head.headers) if head.headers else b""
    return b"%bDate: %b\r\nContent-Type: %b\r\n%b%b%b\r\n" % (
        _STATUS_LINES[head.status],
        date,
        head.content_type,
        framing,
        extra,
        _CLOSE if close else b"",
    )


@lru_cache(maxsize=64)
def _render_headers(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([_EXTRA % pair for pair in headers])
