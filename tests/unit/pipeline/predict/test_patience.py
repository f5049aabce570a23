from datetime import UTC, datetime

import pytest

from modelservice_pipeline.predict.patience import read_retry_after, seconds_to_wait

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("Thu, 01 Jan 2026 12:00:09 GMT", 9.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


def test_waits_grow_to_some_seconds_where_the_server_names_none() -> None:
    waits = [seconds_to_wait(attempt, None) for attempt in range(2000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.1, 5.0)


def test_a_server_that_says_zero_is_not_asked_in_a_loop() -> None:
    assert seconds_to_wait(5, 0.0) > 0
