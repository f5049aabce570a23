"""Watches an HTTP application from outside: between the connection and everything that answers."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from modelservice_runtime.observe.exchange import (
    Exchange,
    Observer,
    decode_header,
    parse_traceparent,
    shorten,
)
from modelservice_runtime.protocols.oip.routes import match_template
from modelservice_runtime.protocols.openai.routes import match_openai_template
from modelservice_runtime.protocols.rest.request_ids import TOLD as REQUEST_ID
from modelservice_runtime.protocols.rest.routing import split_target
from modelservice_runtime.protocols.tfs.routes import match_tfs_template
from modelservice_runtime.transport.http import (
    Buffer,
    HttpApplication,
    HttpRequest,
    HttpResponse,
    Replier,
    Told,
)
from modelservice_runtime.transport.streaming import AnswerStream, Producer, StreamHead

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN_ROUTE = "(none)"
# What nginx calls a client that left before the answer; nothing is sent.
_CLIENT_CLOSED = 499
# What a stream that was broken off is told as, whatever its head said.
_BROKEN_OFF = 500
# Clients that ask for something new each time fill what is known; the longest unused go first.
_MAX_KNOWN_TARGETS = 512
_MAX_KNOWN_TARGET_BYTES = 256
_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"}
)


class ObservedApplication:
    """An HTTP application whose requests an observer hears of, when they are answered or given up.

    It is told bodies of up to `max_body_bytes`.
    """

    def __init__(self, application: HttpApplication, observer: Observer, max_body_bytes: int = 0) -> None:
        self._application = application
        self._observer = observer
        self._max_body_bytes = max_body_bytes

    def __call__(self, request: HttpRequest) -> None:
        """Hand the request on."""
        observe_request(self._application, request, self._observer, self._max_body_bytes)


def observe_request(
    application: HttpApplication, request: HttpRequest, observer: Observer, max_body_bytes: int = 0
) -> None:
    """Hand a request on; `observer` hears of it once, when it is answered or given up."""
    watcher = _Watcher(request, observer, max_body_bytes)
    request.source = watcher
    application(request)
    if not watcher.done and request.on_disconnect is not None:
        watcher.on_disconnect = request.on_disconnect
        request.on_disconnect = watcher.give_up


class _Watcher:
    """Stands between one request and its connection."""

    __slots__ = (
        *("_max_body_bytes", "_observer", "_request", "_source"),
        *("client", "done", "on_disconnect", "sent_bytes"),
    )

    def __init__(self, request: HttpRequest, observer: Observer, max_body_bytes: int) -> None:
        self._request = request
        self._max_body_bytes = max_body_bytes
        self._source: Replier = request.source
        self._observer = observer
        self.client = request.source.client
        self.done = False
        self.sent_bytes = 0
        self.on_disconnect: Callable[[], None] | None = None

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier.reply`."""
        self._source.reply(request, response)
        length = 0 if request.method == b"HEAD" else response.content_length
        self.tell(response.status, length, response.body if length else None)

    def stream(self, request: HttpRequest, head: StreamHead, producer: Producer) -> AnswerStream:
        """See `Replier.stream`; the observer hears of it at its end."""
        return _WatchedStream(self._source.stream(request, head, producer), self, head.status)

    def give_up(self) -> None:
        """The client left before the answer, or in the middle of it."""
        if self.on_disconnect is not None:
            self.on_disconnect()
        self.tell(_CLIENT_CLOSED, self.sent_bytes)

    def tell(self, status: int, response_bytes: int, body: bytes | Sequence[Buffer] | None = None) -> None:
        if not self.done:
            self.done = True
            request = self._request
            duration_ns = time.perf_counter_ns() - request.received_ns
            exchange = build_exchange(request, status, response_bytes, duration_ns, time.time_ns())
            if self._max_body_bytes:
                sent = _copy(request.body, exchange.request_bytes, self._max_body_bytes)
                answered = None if body is None else _copy(body, response_bytes, self._max_body_bytes)
                exchange = replace(exchange, request_body=sent, response_body=answered)
            self._observer(exchange)


class _WatchedStream:
    """Counts what is written to a stream."""

    __slots__ = ("_status", "_stream", "_watcher")

    def __init__(self, stream: AnswerStream, watcher: _Watcher, status: int) -> None:
        self._stream = stream
        self._watcher = watcher
        self._status = status

    @property
    def unsent_bytes(self) -> int:
        """See `AnswerStream`."""
        return self._stream.unsent_bytes

    def write(self, data: bytes) -> None:
        """See `AnswerStream`."""
        self._watcher.sent_bytes += len(data)
        self._stream.write(data)

    def end(self) -> None:
        """See `AnswerStream`."""
        self._stream.end()
        self._watcher.tell(self._status, self._watcher.sent_bytes)

    def abort(self) -> None:
        """See `AnswerStream`."""
        self._watcher.tell(_BROKEN_OFF, self._watcher.sent_bytes)
        self._stream.abort()


def _copy(body: Buffer | Sequence[Buffer], size_bytes: int, max_bytes: int) -> bytes | None:
    """The body as bytes of its own, or None where it is longer."""
    if size_bytes > max_bytes:
        return None
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else b"".join(body)


def build_exchange(
    request: HttpRequest, status: int, response_bytes: int, duration_ns: int, ended_unix_ns: int
) -> Exchange:
    """Describe an answered request."""
    route, model = describe_target(request.target)
    told = request.told
    headers = request.headers
    return Exchange(
        protocol="http",
        method=request.method.decode("ascii") if request.method in _METHODS else "(other)",
        route=route,
        model=shorten(model or _model_told(told)),
        status=status,
        failed=status >= 500 or "error.type" in told,  # a stream that fails has said 200
        request_bytes=len(request.body),
        response_bytes=response_bytes,
        duration_ns=duration_ns,
        ended_unix_ns=ended_unix_ns,
        request_id=_request_id(request),
        trace=parse_traceparent(headers.get(b"traceparent")),
        told=told,
    )


def _request_id(request: HttpRequest) -> str | None:
    """As the answer tells it, where it does; else as the client did."""
    told = request.told.get(REQUEST_ID)
    return decode_header(request.headers.get(b"x-request-id")) if told is None else str(told)


def _model_told(told: Told) -> str | None:
    """The model that a body named."""
    model = told.get("gen_ai.request.model")
    return None if model is None else str(model)


def describe_target(target: bytes) -> tuple[str, str | None]:
    """A request target's path template and the model it names."""
    return _describe_known(target) if len(target) <= _MAX_KNOWN_TARGET_BYTES else _describe(target)


def _describe(target: bytes) -> tuple[str, str | None]:
    segments = split_target(target)
    if segments is None:
        return UNKNOWN_ROUTE, None
    match = match_template(segments) or match_openai_template(segments) or match_tfs_template(segments)
    return (UNKNOWN_ROUTE, None) if match is None else (match.template, match.parameters.get("model"))


_describe_known = lru_cache(_MAX_KNOWN_TARGETS)(_describe)
