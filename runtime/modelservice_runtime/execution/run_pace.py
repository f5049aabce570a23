"""How fast runs follow each other, and so how long a request will wait for its own."""

import time

_BATCH_WEIGHT = 1 / 8


class RunPace:
    """`run_seconds`: the mean time of a run on its runner; `last_start_ns`: when one began. None at first."""

    def __init__(self, runners: int) -> None:
        self.run_seconds: float | None = None
        self.last_start_ns: int | None = None
        self._runners = runners

    def observe(self, seconds: float) -> None:
        """Learn from a run."""
        mean = self.run_seconds
        self.run_seconds = seconds if mean is None else mean + (seconds - mean) * _BATCH_WEIGHT

    def wait_seconds(self, running: int, waiting: float) -> float:
        """How long a request will wait behind so many runs that are under way, and so many that wait."""
        if self.last_start_ns is None:
            return 0.0
        # A run that does not end keeps everybody waiting, whatever earlier ones took.
        stalled_seconds = (time.perf_counter_ns() - self.last_start_ns) / 1e9 if waiting else 0.0
        if self.run_seconds is None:
            return stalled_seconds
        return max(stalled_seconds, (running + waiting) * self.run_seconds / self._runners)
