"""Maintenance windows: cron schedules with a time zone and a duration. Pure.

Cron as in Debian: a start that the clocks skip in spring is at the first moment after, one that they go
through twice in autumn is at the first of the two. A window's duration is real time, whatever clocks do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIELDS = 5
_LONGEST_SCHEDULE = 128
_CLOCKS_MOVE = timedelta(hours=3)
"""More than clocks are put back or forward."""
_TICK = timedelta(seconds=1)
"""The library looks back to what is before a time."""
_MOST_IN_A_ROW = 50
"""So many windows, each of which opens before another closes, are looked at: each takes 0.05 ms."""


class WindowError(ValueError):
    """A window that cannot be understood; the sentence names the field and what is expected."""


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """A time that comes again and again. Made by `parse_window`."""

    schedule: str
    zone: ZoneInfo
    duration: timedelta

    def end_at(self, moment: datetime) -> datetime | None:
        """Return when the window that is open at a moment ends, None where it is closed then."""
        after = (moment + self._doubt(moment) + _TICK).astimezone(self.zone)
        starts = map(_as_utc, CronSim(self.schedule, after, reverse=True))
        start = next((one for one in starts if one <= moment), None)
        return start + self.duration if start is not None and moment < start + self.duration else None

    def start_after(self, moment: datetime) -> datetime | None:
        """Return the next start after a moment, None where the calendar knows none."""
        before = (moment - self._doubt(moment)).astimezone(self.zone)
        starts = map(_as_utc, CronSim(self.schedule, before))
        return next((one for one in starts if one > moment), None)

    def _doubt(self, moment: datetime) -> timedelta:
        """Return how far around a moment the hours of cron may be out of order: where clocks are put back."""
        offsets = {(moment + way * _CLOCKS_MOVE).astimezone(self.zone).utcoffset() for way in (-1, 0, 1)}
        return timedelta(0) if len(offsets) == 1 else _CLOCKS_MOVE


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether work may start at a moment, and when that changes (UTC)."""

    is_open: bool
    changes_at: datetime | None
    """When the windows close, or open, next. Of windows that do not close in sight a time until which they
    are open, None of those that never open."""


def parse_window(schedule: str, time_zone: str, duration_seconds: int) -> MaintenanceWindow:
    """Return a window from its fields. WindowError: one of them cannot be understood."""
    zone = _parse_zone(time_zone)
    _check_schedule(schedule)
    if duration_seconds < 1:
        raise WindowError(f"durationSeconds: expected at least 1, got {duration_seconds}")
    window = MaintenanceWindow(schedule, zone, timedelta(seconds=duration_seconds))
    if window.start_after(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise WindowError(f"schedule: {schedule!r} names a day that no year has")
    return window


def opening(windows: Sequence[MaintenanceWindow], now: datetime) -> Opening:
    """Return whether one of the windows is open, and until or from when; without windows it always is."""
    if not windows:
        return Opening(is_open=True, changes_at=None)
    end = _end(windows, now)
    if end is None:
        starts = [start for one in windows if (start := one.start_after(now)) is not None]
        return Opening(is_open=False, changes_at=min(starts, default=None))
    for _ in range(_MOST_IN_A_ROW):
        further = _end(windows, end)
        if further is None:
            break
        end = further
    return Opening(is_open=True, changes_at=end)


def _end(windows: Sequence[MaintenanceWindow], moment: datetime) -> datetime | None:
    return max((end for one in windows if (end := one.end_at(moment)) is not None), default=None)


def _as_utc(local: datetime) -> datetime:
    return local.astimezone(UTC)


def _parse_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # A folder of zones, such as Europe, is no zone either; nor is a name with odd characters.
    except (LookupError, OSError, ValueError):
        raise WindowError(
            f"timeZone: {name!r} is not known: expected a name such as Europe/Berlin or UTC"
        ) from None


def _check_schedule(schedule: str) -> None:
    expected = "expected five fields (minute, hour, day, month, day of the week) such as '0 2 * * 6'"
    # The library takes a sixth field for seconds.
    if len(schedule.split()) != _FIELDS or len(schedule) > _LONGEST_SCHEDULE:
        raise WindowError(f"schedule: {expected}, got {schedule[:_LONGEST_SCHEDULE]!r}")
    try:
        CronSim(schedule, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise WindowError(f"schedule: {expected}; the {field} of {schedule!r} cannot be understood") from None
