"""When to ask again, and when to give up: 429, 503 and connections that break; no HTTP of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
"""Of our own choice, where the server names no time."""

TRY_AGAIN = frozenset({429, 502, 503})
"""Statuses of a server that is busy, starting or being replaced; a gateway says 502 for it."""


@dataclass(frozen=True)
class Clock:
    """The time that is waited by: monotonic seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3), None where it says nothing."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def seconds_to_wait(attempt: int, retry_after: float | None) -> float:
    """How long to wait after this try, counted from 0: as the server says, else longer each time."""
    if retry_after is not None:
        return max(retry_after, _FIRST_WAIT_SECONDS)
    return float(min(_FIRST_WAIT_SECONDS * 2.0 ** min(attempt, 10), _LONGEST_WAIT_SECONDS))


class Pause:
    """When a busy server may be asked again: what one thread was told holds for all of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._until = clock, clock.now()

    def lengthen(self, seconds: float) -> None:
        """Ask nothing for so long."""
        self._until = max(self._until, self._clock.now() + seconds)

    def wait(self, deadline: float) -> bool:
        """Wait until it is over; False, at once, where that would be after the deadline."""
        while (left := self._until - self._clock.now()) > 0:
            if self._until >= deadline:
                return False
            self._clock.sleep(left)
        return True


def utc_now() -> datetime:
    """The time that `Retry-After` may name."""
    return datetime.now(UTC)
