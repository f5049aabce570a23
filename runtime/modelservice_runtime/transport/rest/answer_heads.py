"""Heads of answers as header blocks of literals; what answers share is rendered once for each date."""

from collections.abc import Callable
from functools import lru_cache

from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.http2.headers.hpack import encode_header
from modelservice_runtime.transport.streaming import StreamHead

CONTINUE_BLOCK = encode_header(b":status", b"100")


class AnswerHeads:
    """Makes header blocks; `forget` makes them ask for the date again."""

    def __init__(self, date: Callable[[], bytes]) -> None:
        self._date = date
        self._starts: dict[tuple[int, bytes], bytes] = {}

    def forget(self) -> None:
        """The date is another one by now."""
        self._starts.clear()

    def of_answer(self, response: HttpResponse) -> bytes:
        """What comes before a body of known length."""
        length = encode_header(b"content-length", b"%d" % response.content_length)
        return self._start(response.status, response.content_type) + length + _encode(response.headers)

    def of_stream(self, head: StreamHead) -> bytes:
        """What comes before a body in pieces."""
        return self._start(head.status, head.content_type) + _encode(head.headers)

    def _start(self, status: int, content_type: bytes) -> bytes:
        key = (status, content_type)
        start = self._starts.get(key)
        if start is None:
            fields = ((b":status", b"%d" % status), (b"date", self._date()), (b"content-type", content_type))
            start = self._starts[key] = _encode(fields)
        return start


@lru_cache(maxsize=64)
def _encode(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Names are lower case in HTTP/2 (RFC 9113, 8.2.1)."""
    return b"".join([encode_header(name.lower(), value) for name, value in headers])
