from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.errors import FetchError, FetchReason, TransientError, UnreachableError
from modelservice_runtime.fetch.limits import PROGRESS_RESETS_FAILURES_BYTES, TransferLimits
from modelservice_runtime.fetch.retry import compute_delay_seconds, parse_retry_after, retried

NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
FAST = TransferLimits(max_attempts=3, backoff_base_seconds=0.0)


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_compute_delay_seconds_stays_below_the_cap(failures, chance):
    limits = TransferLimits()
    assert 0 <= compute_delay_seconds(failures, None, limits, chance) <= limits.backoff_cap_seconds


def test_compute_delay_seconds_doubles_with_each_failure():
    delays = [compute_delay_seconds(n, None, TransferLimits(), 0.5) for n in (1, 2, 3)]
    assert delays == [0.5, 1.0, 2.0]


def test_compute_delay_seconds_follows_the_server_up_to_the_cap():
    limits = TransferLimits(retry_after_cap_seconds=60)
    assert compute_delay_seconds(1, 7, limits, 0.5) == 7
    assert compute_delay_seconds(1, 86400, limits, 0.5) == 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("Wed, 01 May 2024 12:00:30 GMT", 30.0),
        ("Wed, 01 May 2024 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Wed, 01 May 2024 12:00:30", None),
    ],
)
def test_parse_retry_after_reads_both_forms(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


async def test_retried_transient_failures_end_in_success():
    failures = iter([TransientError("one"), TransientError("two")])

    async def operation() -> str:
        for failure in failures:
            raise failure
        return "done"

    assert await retried(operation, FAST) == "done"


async def test_retried_too_many_failures_end_in_download_failed():
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise TransientError("no luck")

    with pytest.raises(FetchError, match="3 attempts: no luck") as caught:
        await retried(operation, FAST)
    assert (caught.value.reason, calls) == (FetchReason.DOWNLOAD_FAILED, 3)


async def test_retried_real_failure_is_not_repeated():
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise FetchError(FetchReason.MODEL_NOT_FOUND, "absent")

    with pytest.raises(FetchError, match="absent"):
        await retried(operation, FAST)
    assert calls == 1


async def test_retried_progress_starts_the_count_again():
    calls = 0

    async def operation() -> int:
        nonlocal calls
        calls += 1
        if calls < 8:
            raise TransientError("cut")
        return calls

    assert await retried(operation, FAST, lambda: calls * PROGRESS_RESETS_FAILURES_BYTES) == 8


@pytest.mark.parametrize(
    ("error", "patience_seconds", "won_bytes", "attempts"),
    [
        (UnreachableError("nobody"), 0.0, 0, 1),
        (UnreachableError("nobody"), 3600.0, 0, 3),
        (UnreachableError("nobody"), 0.0, 1, 3),
        (TransientError("busy"), 0.0, 0, 3),
    ],
    ids=["nobody for long", "nobody yet", "it was there before", "somebody"],
)
async def test_retried_ends_soon_where_nobody_was_ever_reached(error, patience_seconds, won_bytes, attempts):
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        raise error

    limits = TransferLimits(max_attempts=3, backoff_base_seconds=0.0, unreachable_seconds=patience_seconds)
    with pytest.raises(FetchError, match=f"{attempts} attempt") as caught:
        await retried(operation, limits, lambda: won_bytes)
    assert (caught.value.reason, calls) == (FetchReason.DOWNLOAD_FAILED, attempts)
