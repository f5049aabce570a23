"""Why a request is refused before the application sees it."""

from dataclasses import replace

from modelservice_runtime.transport.http import HttpLimits, HttpResponse
from modelservice_runtime.transport.status import error_body


class RefusalError(Exception):
    """Raised inside parser callbacks to stop parsing; carries the answer."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence)
        self.response = HttpResponse(status, error_body(sentence), headers=headers, close=True)


def turned_away(response: HttpResponse) -> RefusalError:
    """A client who may not ask; the body that comes is not read."""
    refusal = RefusalError(response.status, "")
    refusal.response = replace(response, close=True)
    return refusal


def too_many_connections() -> RefusalError:
    """A client for whom there is no place."""
    return RefusalError(503, "too many connections", ((b"Retry-After", b"1"),))


def too_large(max_bytes: int) -> RefusalError:
    """A body over the limit."""
    return RefusalError(413, f"the body exceeds the limit of {max_bytes} bytes")


def target_too_long(max_bytes: int) -> RefusalError:
    """A path, with its query, over the limit."""
    return RefusalError(414, f"the path is longer than {max_bytes} bytes")


def head_too_large(limits: HttpLimits) -> RefusalError:
    """Headers over the limits."""
    return RefusalError(431, f"over {limits.max_headers} headers or {limits.max_head_bytes} bytes of them")


def too_slow() -> RefusalError:
    """A request whose bytes come too slowly."""
    return RefusalError(408, "the request took too long to arrive")


def check_expectation(value: bytes) -> None:
    """Raise RefusalError unless a client expects to be asked for its body (RFC 9110, 10.1.1)."""
    if value.strip().lower() != b"100-continue":
        raise RefusalError(417, "the only Expect supported is 100-continue")


def no_room() -> RefusalError:
    """The bodies and unread answers of all connections together are too large."""
    return RefusalError(503, "the server holds too much data; try again later", ((b"Retry-After", b"1"),))
