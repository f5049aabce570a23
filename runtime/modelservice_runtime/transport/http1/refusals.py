"""Why a request is refused before the application sees it."""

from dataclasses import replace

from modelservice_runtime.transport.http import HttpResponse
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


def no_room() -> RefusalError:
    """The bodies and unread answers of all connections together are too large."""
    return RefusalError(503, "the server holds too much data; try again later", ((b"Retry-After", b"1"),))
