"""From the headers of a stream to the head of a request, or why it is refused; pure."""

import re

from modelservice_runtime.transport.http import HttpLimits, HttpResponse, RequestHead
from modelservice_runtime.transport.http1.refusals import head_too_large, target_too_long
from modelservice_runtime.transport.http2.framing.errors import ErrorCode, StreamFailedError
from modelservice_runtime.transport.http2.headers.fields import split_fields
from modelservice_runtime.transport.http2.headers.hpack import Header

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# No absolute form: scheme and host have fields of their own (RFC 9113, 8.3.1).
_PATH = re.compile(rb"/[!-~\x80-\xff]*|\*")
_BLANK_AT_AN_END = re.compile(rb"[ \t].*|.*[ \t]", re.DOTALL)
_MAX_LENGTH_DIGITS = 18
_LINE_OVERHEAD_BYTES = 4  # as HTTP/1.1 writes a header: a colon, a blank, the end of the line
# Clients that put something new into every head fill this; it is emptied then.
_MAX_KNOWN_HEADS = 512
_MAX_KNOWN_HEAD_BYTES = 2048


class HeadParser:
    """Parses heads; equal headers give the same object, which holds what the application has found out."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._known: dict[tuple[Header, ...], RequestHead] = {}

    def parse(self, headers: list[Header] | None) -> RequestHead | HttpResponse:
        """The head of a request, or the answer to one over a limit, as None is by its headers.

        Raises StreamFailedError for what is no request of HTTP/2.
        """
        if headers is None:
            return head_too_large(self._limits).response
        key = tuple(headers)
        known = self._known.get(key)
        if known is not None:
            return known
        head = self._parse(headers)
        size_bytes = sum([len(name) + len(value) for name, value in headers])
        if isinstance(head, RequestHead) and size_bytes <= _MAX_KNOWN_HEAD_BYTES:
            if len(self._known) >= _MAX_KNOWN_HEADS:
                self._known.clear()
            self._known[key] = head
        return head

    def _parse(self, headers: list[Header]) -> RequestHead | HttpResponse:
        pseudo, fields = split_fields(headers)
        _check_values(pseudo, headers)
        limits, target = self._limits, pseudo[b":path"]
        if len(target) > limits.max_target_bytes:
            return target_too_long(limits.max_target_bytes).response
        sizes = [
            len(name) + len(value) + _LINE_OVERHEAD_BYTES for name, value in headers if name not in pseudo
        ]
        if len(sizes) > limits.max_headers or sum(sizes) > limits.max_head_bytes:
            return head_too_large(limits).response
        authority = pseudo.get(b":authority")
        if authority is not None and fields.setdefault(b"host", authority).lower() != authority.lower():
            raise _malformed("the host header is not the authority")
        return RequestHead(
            pseudo[b":method"],
            target,
            fields,
            keep_alive=True,
            is_http_1_0=False,
            body_bytes=_parse_length(fields),
        )


def _check_values(pseudo: dict[bytes, bytes], headers: list[Header]) -> None:
    if not _METHOD.fullmatch(pseudo[b":method"]):
        raise _malformed("the method is not a token")
    if not _PATH.fullmatch(pseudo[b":path"]):
        raise _malformed("the path does not begin with a slash, or holds what no path holds")
    if any(_BLANK_AT_AN_END.fullmatch(value) for _, value in headers):
        raise _malformed("a header value begins or ends with a blank")


def _parse_length(fields: dict[bytes, bytes]) -> int:
    value = fields.get(b"content-length")
    if value is None:
        return -1
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise _malformed("content-length is not a number of bytes")
    return int(value)


def _malformed(sentence: str) -> StreamFailedError:
    return StreamFailedError(ErrorCode.PROTOCOL_ERROR, sentence)
