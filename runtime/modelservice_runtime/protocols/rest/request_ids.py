"""One name for a request: answers tell it, and so do logs, so that what a client reports can be looked up.

OpenAI's clients show the header `x-request-id` of an answer as `_request_id`, of an error as `request_id`.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace

from modelservice_runtime.transport.http import HttpRequest, HttpResponse, Replier
from modelservice_runtime.transport.streaming import AnswerStream, Producer, StreamHead

HEADER = b"X-Request-Id"
# What the observers of a request are told under.
TOLD = "modelservice.request_id"
# The second is what OpenAI takes of clients that want to know a request whose answer never came.
_CALLERS_HEADERS = (b"x-request-id", b"x-client-request-id")
# Of as many characters as logs keep; what might be taken for something else where it is shown is none.
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's name for a request, where it gave one that can be shown; else a new one."""
    for name in _CALLERS_HEADERS:
        value = headers.get(name)
        if value is not None and _SANE.fullmatch(value):
            return value.decode("ascii")
    return f"req_{uuid.uuid4().hex}"


def named_response(response: HttpResponse, request_id: str) -> HttpResponse:
    """The same answer with its request's name."""
    return replace(response, headers=(*response.headers, _header(request_id)))


def name_request(request: HttpRequest) -> str:
    """Let the request's answer, and what is logged of it, tell its name; returns it."""
    request_id = request_id_of(request.headers)
    request.tell({TOLD: request_id})
    request.source = _NamingReplier(request.source, request_id)
    return request_id


class _NamingReplier:
    """Stands between one request and its connection."""

    __slots__ = ("_request_id", "_source", "client")

    def __init__(self, source: Replier, request_id: str) -> None:
        self._source = source
        self._request_id = request_id
        self.client = source.client

    def reply(self, request: HttpRequest, response: HttpResponse) -> None:
        """See `Replier.reply`."""
        self._source.reply(request, named_response(response, self._request_id))

    def stream(self, request: HttpRequest, head: StreamHead, producer: Producer) -> AnswerStream:
        """See `Replier.stream`."""
        headers = (*head.headers, _header(self._request_id))
        return self._source.stream(request, replace(head, headers=headers), producer)


def _header(request_id: str) -> tuple[bytes, bytes]:
    return HEADER, request_id.encode("ascii")
