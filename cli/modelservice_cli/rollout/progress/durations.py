"""Lengths of time for people. Pure."""

from datetime import datetime, timedelta

from modelservice_operator.facts.text.times import format_time, parse_time

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def duration_text(seconds: int) -> str:
    """Return a duration as it is: `60 s`, `10 min`, `150 s`."""
    for size, unit in _UNITS:
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def about_text(seconds: float) -> str:
    """Return a duration in its largest unit that is there twice; what is below zero is none."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def time_after(text: object, seconds: int) -> str | None:
    """Return the time so many seconds after one in RFC 3339, None where that is none."""
    time = parse_time(text)
    return format_time(time + timedelta(seconds=seconds)) if time is not None else None


def left_text(until: str, now: datetime) -> str:
    """Return how long it is until then: `40 s left`."""
    time = parse_time(until)
    return f"{about_text((time - now).total_seconds())} left" if time is not None else ""


def ago_text(since: object, now: datetime) -> str:
    """Return how long ago that was: `9 min`."""
    time = parse_time(since)
    return about_text((now - time).total_seconds()) if time is not None else "?"
