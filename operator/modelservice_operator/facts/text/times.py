"""Times as Kubernetes writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def parse_time(text: object) -> datetime | None:
    """Return the time in an RFC 3339 text, None for anything else."""
    return _parse(str(text))


@lru_cache(maxsize=1024)  # a status is asked for the same few again and again
def _parse(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for what is before the year 1 in UTC
        return None


def is_to_come(text: object, now: datetime) -> bool:
    """Whether this is a time after `now`: one that a clock wrote which was wrong."""
    time = parse_time(text)
    return time is not None and time > now


def format_time(time: datetime) -> str:
    """Return a time in UTC as RFC 3339, in whole seconds."""
    return time.isoformat()[:19] + "Z"  # half the time of strftime


def format_precise(time: datetime) -> str:
    """Return a time in UTC as RFC 3339, in milliseconds: for what is over within a second."""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
