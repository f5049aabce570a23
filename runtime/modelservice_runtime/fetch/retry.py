"""Repeats what may succeed the next time: exponential backoff with full jitter, bounded."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from modelservice_runtime.fetch.errors import FetchError, FetchReason, TransientError, UnreachableError
from modelservice_runtime.fetch.limits import PROGRESS_RESETS_FAILURES_BYTES, TransferLimits
from modelservice_runtime.fetch.log import log

Result = TypeVar("Result")


def compute_delay_seconds(
    failures: int, retry_after_seconds: float | None, limits: TransferLimits, chance: float
) -> float:
    """Seconds to wait before the next attempt.

    Args:
        failures: failed attempts in a row, 1 or more.
        retry_after_seconds: what the server asked for; it wins, up to its own cap.
        limits: base and caps.
        chance: a random number in [0, 1); the jitter keeps a fleet of pods from asking in step.

    """
    if retry_after_seconds is not None:
        return min(retry_after_seconds, limits.retry_after_cap_seconds)
    ceiling: float = min(limits.backoff_base_seconds * 2.0**failures, limits.backoff_cap_seconds)
    return ceiling * chance


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3), or None where it says nothing useful."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment - now).total_seconds())
    except (TypeError, ValueError, OverflowError):  # not a date, or one without a zone
        return None


async def retried(
    operation: Callable[[], Awaitable[Result]],
    limits: TransferLimits,
    progress_bytes: Callable[[], int] = lambda: 0,
) -> Result:
    """Run `operation` until it succeeds.

    Args:
        operation: raises `TransientError` where another attempt may help.
        limits: attempts and pauses.
        progress_bytes: bytes won so far; an attempt that won many starts the count again.

    Raises:
        FetchError: `DownloadFailed` after the last attempt; every other failure at once.

    """
    failures = 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        before = progress_bytes()
        try:
            return await operation()
        except TransientError as error:
            won = progress_bytes() - before
            failures = 1 if won >= PROGRESS_RESETS_FAILURES_BYTES else failures + 1
            chance = random.random()  # noqa: S311 - jitter, not a secret
            delay_seconds = compute_delay_seconds(failures, error.retry_after_seconds, limits, chance)
            next_at_seconds = loop.time() - started + delay_seconds
            nobody_there = isinstance(error, UnreachableError) and not progress_bytes()
            if failures >= limits.max_attempts or (
                nobody_there and next_at_seconds >= limits.unreachable_seconds
            ):
                raise FetchError(
                    FetchReason.DOWNLOAD_FAILED,
                    f"gave up after {failures} attempt{'s' if failures > 1 else ''}: {error.message}; "
                    "check that the store is up and reachable",
                ) from error
            fields = {"attempt": failures, "delaySeconds": round(delay_seconds, 1)}
            log(f"attempt failed: {error.message}", fields, logging.WARNING)
        await asyncio.sleep(delay_seconds)
