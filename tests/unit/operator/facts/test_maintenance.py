from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_operator.facts.maintenance import (
    MaintenanceWindow,
    Opening,
    WindowError,
    opening,
    parse_window,
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(schedule: str, zone: str = "UTC", hours: float = 2) -> MaintenanceWindow:
    return parse_window(schedule, zone, int(hours * 3600))


def changes(windows: list[MaintenanceWindow], since: str, count: int) -> list[tuple[bool, str]]:
    """Return what holds from `since` on, and at each of the next changes."""
    found, moment = [], utc(since)
    for _ in range(count):
        now = opening(windows, moment)
        found.append((now.is_open, f"{moment:%m-%d %H:%M}"))
        assert now.changes_at is not None
        moment = now.changes_at
    return found


def test_opening_without_windows_is_always_open():
    assert opening([], utc("2026-05-01 12:00")).is_open


def test_opening_of_a_weekly_window_begins_and_ends_to_the_second():
    nightly = [window("0 22 * * 5")]  # Friday, 1 May 2026
    assert changes(nightly, "2026-05-01 12:00", 4) == [
        (False, "05-01 12:00"),
        (True, "05-01 22:00"),
        (False, "05-02 00:00"),
        (True, "05-08 22:00"),
    ]
    assert not opening(nightly, utc("2026-05-01 21:59:59.999999")).is_open
    assert opening(nightly, utc("2026-05-01 23:59:59.999999")).is_open


def test_opening_of_overlapping_windows_ends_with_the_last_of_them():
    both = [window("0 1 * * *", hours=3), window("30 3 * * *", hours=2), window("30 5 * * *", hours=1)]
    assert changes(both, "2026-05-01 02:00", 3) == [
        (True, "05-01 02:00"),
        (False, "05-01 06:30"),  # the third begins as the second ends
        (True, "05-02 01:00"),
    ]


def test_opening_of_windows_that_never_close_is_looked_at_no_further_than_is_cheap():
    now = opening([window("*/10 * * * *", hours=1)], utc("2026-05-01 02:05"))
    assert now == Opening(is_open=True, changes_at=utc("2026-05-03 05:00"))  # 51 hours from the last start


def test_opening_is_by_the_clock_of_the_zone_in_summer_and_winter():
    berlin = [window("0 2 * * *", "Europe/Berlin")]
    assert opening(berlin, utc("2026-01-10 01:00")).is_open  # 02:00 there
    assert not opening(berlin, utc("2026-07-10 02:30")).is_open  # 04:30
    assert opening(berlin, utc("2026-07-10 00:30")).is_open  # 02:30


@pytest.mark.parametrize(
    ("schedule", "zone", "hours", "since", "expected"),
    [
        # 02:30 does not exist on 29 March: it opens at 03:00 (01:00 UTC), and stays open as long as ever.
        ("30 2 * * *", "Europe/Berlin", 1, "2026-03-29 00:00", "03-29 01:00, 03-29 02:00, 03-30 00:30"),
        # 02:30 comes twice on 25 October, at 00:30 and 01:30 UTC: it opens once.
        ("30 2 * * *", "Europe/Berlin", 0.5, "2026-10-25 00:00", "10-25 00:30, 10-25 01:00, 10-26 01:30"),
        # A window of 3 hours lasts 3 hours, though clocks say 4 o'clock to be 2 hours after 1.
        ("0 1 * * *", "Europe/Berlin", 3, "2026-10-24 20:00", "10-24 23:00, 10-25 02:00, 10-26 00:00"),
        # Every hour is every hour, also the one that comes twice.
        ("0 * * * *", "America/New_York", 0.5, "2026-11-01 05:10", "11-01 05:30, 11-01 06:00, 11-01 06:30"),
        # Clocks move by half an hour only.
        ("15 2 * * *", "Australia/Lord_Howe", 1, "2026-10-03 15:00", "10-03 15:30, 10-03 16:30, 10-04 15:15"),
    ],
)  # fmt: skip
def test_opening_where_clocks_are_changed(schedule: str, zone: str, hours: float, since: str, expected: str):
    found = changes([window(schedule, zone, hours)], since, 4)
    assert [at for _, at in found[1:]] == expected.split(", ")


def test_opening_in_the_second_of_two_equal_hours_knows_the_start_in_the_first():
    # 01:15 comes at 05:15 and 06:15 UTC in New York; now it is 01:05 for the second time.
    one = [window("15 1 * * *", "America/New_York", 1)]
    assert opening(one, utc("2026-11-01 06:05")).is_open
    assert opening(one, utc("2026-11-01 06:05")).changes_at == utc("2026-11-01 06:15")
    assert opening(one, utc("2026-11-01 06:20")).changes_at == utc("2026-11-02 06:15")


MINUTES = st.one_of(st.just("*"), st.integers(0, 59).map(str), st.sampled_from(["*/7", "5-50/15", "1,2,3"]))
HOURS = st.one_of(st.just("*"), st.integers(0, 23).map(str), st.sampled_from(["*/5", "22,23,0", "8-17"]))
DAYS = st.sampled_from([("*", "*"), ("*", "1-5"), ("13", "*"), ("13", "5"), ("L", "*"), ("*", "MON#2")])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"])
WINDOWS = st.builds(
    lambda minute, hour, days, zone, minutes: parse_window(
        f"{minute} {hour} {days[0]} * {days[1]}", zone, minutes * 60
    ),
    MINUTES,
    HOURS,
    DAYS,
    ZONES,
    st.integers(1, 60 * 30),
)
MOMENTS = st.integers(0, 730 * 86_400).map(
    lambda seconds: utc("2026-01-01 00:00") + timedelta(seconds=seconds)
)


@settings(max_examples=40)
@given(windows=st.lists(WINDOWS, min_size=1, max_size=3), now=MOMENTS)
def test_opening_changes_exactly_when_it_says(windows: list[MaintenanceWindow], now: datetime):
    """Nothing changes before, everything does then: the two directions of looking agree."""
    found = opening(windows, now)
    assert found.changes_at is not None
    assert found.changes_at > now
    if opening(windows, found.changes_at).is_open is found.is_open:
        assert found.is_open
        assert found.changes_at > now + timedelta(minutes=50), "so many windows follow each other at least"
    for share in (0.25, 0.5, 0.999):
        assert opening(windows, now + (found.changes_at - now) * share).is_open is found.is_open


@pytest.mark.parametrize(
    ("schedule", "zone", "seconds", "sentence"),
    [
        ("0 2 * *", "UTC", 60, "schedule: expected five fields"),
        ("0 0 2 * * 6", "UTC", 60, "schedule: expected five fields"),  # with seconds
        ("@daily", "UTC", 60, "schedule: expected five fields"),
        ("60 2 * * *", "UTC", 60, "the minute of '60 2 . . .' cannot be understood"),
        ("0 2 * * FRY", "UTC", 60, "the day-of-week of"),
        ("0 2 30 2 *", "UTC", 60, "schedule: "),
        ("1" * 5000 + " * * * *", "UTC", 60, "schedule: expected five fields"),
        ("0 2 * * *", "Berlin", 60, "timeZone: 'Berlin' is not known"),
        ("0 2 * * *", "Europe", 60, "timeZone: 'Europe' is not known"),
        ("0 2 * * *", "../etc/passwd", 60, "timeZone: "),
        ("0 2 * * *", "", 60, "timeZone: "),
        ("0 2 * * *", "UTC\0", 60, "timeZone: "),
        ("0 2 * * *", "UTC", 0, "durationSeconds: expected at least 1"),
    ],
)
def test_parse_window_of_nonsense_names_the_field(schedule: str, zone: str, seconds: int, sentence: str):
    with pytest.raises(WindowError, match=sentence):
        parse_window(schedule, zone, seconds)
