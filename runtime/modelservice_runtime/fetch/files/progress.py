"""Watches the speed of a transfer: progress lines, and the rule against one byte a second."""

from collections.abc import Callable
from typing import Any

from modelservice_runtime.fetch.errors import TransientError
from modelservice_runtime.fetch.limits import TransferLimits
from modelservice_runtime.fetch.log import log

_STEP_PERCENT = 10


class ProgressLog:
    """Logs every tenth of a known size, and every few seconds.

    Args:
        name: the file.
        interval_seconds: the longest time between two lines while bytes arrive.
        clock: a monotonic clock in seconds.

    """

    def __init__(self, name: str, interval_seconds: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._started = self._last_time = clock()
        self._last_step = 0

    def update(self, size_bytes: int, total_bytes: int | None) -> None:
        """Take note of `size_bytes` stored; log if it is time."""
        step = size_bytes * 100 // total_bytes // _STEP_PERCENT if total_bytes else 0
        now = self._clock()
        if step <= self._last_step and now - self._last_time < self._interval_seconds:
            return
        self._last_step, self._last_time = step, now
        log("downloading", self.describe(size_bytes, total_bytes))

    def describe(self, size_bytes: int, total_bytes: int | None) -> dict[str, Any]:
        """Fields of a progress line."""
        elapsed = self._clock() - self._started
        rate = round(size_bytes / elapsed) if elapsed > 0 else None
        return {"file": self._name, "bytes": size_bytes, "totalBytes": total_bytes, "bytesPerSecond": rate}


class LowSpeedRule:
    """Ends an attempt that stays below a speed for a whole window."""

    def __init__(self, limits: TransferLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._window_start = clock()
        self._window_bytes = 0

    def update(self, received_bytes: int) -> None:
        """Take note of bytes that arrived.

        Raises:
            TransientError: the last window was too slow.

        """
        self._window_bytes += received_bytes
        elapsed = self._clock() - self._window_start
        if elapsed < self._limits.low_speed_window_seconds:
            return
        if self._window_bytes < elapsed * self._limits.low_speed_bytes_per_second:
            raise TransientError(
                f"slower than {self._limits.low_speed_bytes_per_second} bytes a second "
                f"for {elapsed:.0f} seconds"
            )
        self._window_start += elapsed
        self._window_bytes = 0
