"""Which header lists are well-formed requests (RFC 9113, 8.2 and 8.3); pure."""

import re

from modelservice_runtime.transport.http2.framing.errors import ErrorCode, StreamFailedError
from modelservice_runtime.transport.http2.headers.hpack import Header

_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_REQUIRED = (b":method", b":scheme", b":path")
_OF_CONNECTIONS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN_IN_VALUES = re.compile(rb"[\x00\r\n]")


def split_fields(headers: list[Header]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Pseudo headers and other headers; repeated ones are joined by a comma.

    Raises StreamFailedError for a malformed request.
    """
    pseudo: dict[bytes, bytes] = {}
    fields: dict[bytes, bytes] = {}
    if _FORBIDDEN_IN_VALUES.search(b"".join([value for _, value in headers])):
        raise _malformed("a header value holds NUL, CR or LF")
    for name, value in headers:
        if name.startswith(b":"):
            if name not in _PSEUDO or name in pseudo or fields:
                raise _malformed("a pseudo header is unknown, repeated or late")
            pseudo[name] = value
            continue
        _check_name(name, value)
        fields[name] = fields[name] + b"," + value if name in fields else value
    if not all(pseudo.get(name) for name in _REQUIRED):
        raise _malformed("a request needs :method, :scheme and :path")
    return pseudo, fields


def _check_name(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise _malformed("a header name is not a lower-case token")
    if name in _OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
        raise _malformed("a header of HTTP/1 connections")


def _malformed(sentence: str) -> StreamFailedError:
    return StreamFailedError(ErrorCode.PROTOCOL_ERROR, sentence)
