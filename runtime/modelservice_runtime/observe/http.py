"""Watches an HTTP application from outside: between the connection and everything that answers."""

import time
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
from modelservice_runtime.protocols.rest.routing import split_target
from modelservice_runtime.protocols.tfs.routes import match_tfs_template
from modelservice_runtime.transport.http import HttpApplication, HttpRequest, HttpResponse, Replier

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN_ROUTE = "(none)"
# What nginx calls a client that left before the answer; nothing is sent.
_CLIENT_CLOSED = 499
# Clients that ask for something new each time fill what is known; the longest unused go first.
_MAX_KNOWN_TARGETS = 512
_MAX_KNOWN_TARGET_BYTES = 256
_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"}
)


class ObservedApplication:
    """An HTTP application whose requests an observer hears of, when they are answered or given up."""

    def __init__(self, application: HttpApplication, observer: Observer) -> None:
        self._application = application
        self._observer = observer

    def __call__(self, request: HttpRequest) -> None:
        """Hand the request on."""
        observe_request(self._application, request, self._observer)


def observe_request(application: HttpApplication, request: HttpRequest, observer: Observer) -> None:
    """Hand a request on; `observer` hears of it once, when it is answered or given up."""
    watcher = _Watcher(request, observer)
    request.source = watcher
    application(request)
    if not watcher.done and request.on_disconnect is not None:
        watcher.on_disconnect = request.on_disconnect
        request.on_disconnect = watcher.give_up


class _Watcher:
    """Stands between one request and its connection."""

    __slots__ = ("_observer", "_request", "_source", "client", "done", "on_disconnect")

    def __init__(self, request: HttpRequest, observer: Observer) -> None:
        self._request = request
        self._source: Replier = request.source
        self._observer = observer
        self.client = request.source.client
        self.done = False
        self.on_disconnect: Callable[[], None] | None = None

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier.reply`."""
        self._source.reply(request, response)
        self._tell(response.status, 0 if request.method == b"HEAD" else response.content_length)

    def give_up(self) -> None:
        """The client left before the answer."""
        if self.on_disconnect is not None:
            self.on_disconnect()
        self._tell(_CLIENT_CLOSED, 0)

    def _tell(self, status: int, response_bytes: int) -> None:
        if not self.done:
            self.done = True
            duration_ns = time.perf_counter_ns() - self._request.received_ns
            self._observer(build_exchange(self._request, status, response_bytes, duration_ns, time.time_ns()))


def build_exchange(
    request: HttpRequest, status: int, response_bytes: int, duration_ns: int, ended_unix_ns: int
) -> Exchange:
    """Describe an answered request."""
    route, model = describe_target(request.target)
    headers = request.headers
    return Exchange(
        protocol="http",
        method=request.method.decode("ascii") if request.method in _METHODS else "(other)",
        route=route,
        model=shorten(model),
        status=status,
        failed=status >= 500,
        request_bytes=len(request.body),
        response_bytes=response_bytes,
        duration_ns=duration_ns,
        ended_unix_ns=ended_unix_ns,
        request_id=decode_header(headers.get(b"x-request-id")),
        trace=parse_traceparent(headers.get(b"traceparent")),
    )


def describe_target(target: bytes) -> tuple[str, str | None]:
    """A request target's path template and the model it names."""
    return _describe_known(target) if len(target) <= _MAX_KNOWN_TARGET_BYTES else _describe(target)


def _describe(target: bytes) -> tuple[str, str | None]:
    segments = split_target(target)
    if segments is None:
        return UNKNOWN_ROUTE, None
    match = match_template(segments) or match_tfs_template(segments)
    return (UNKNOWN_ROUTE, None) if match is None else (match.template, match.parameters.get("model"))


_describe_known = lru_cache(_MAX_KNOWN_TARGETS)(_describe)
