"""How long a model's runs take: whether one is short enough for the event loop, and how long others wait.

Event loop's thread only.
"""

import time
from collections.abc import Callable

from modelservice_runtime.model import WarmUp

# A model that became ten times slower is noticed within 25 runs.
_MEDIAN_STEP = 1.1
# Runs of up to this many times the limit are tried on the event loop, this often: 5 ms once a second.
_PROBE_BELOW = 25
_PROBE_SECONDS = 1.0
_BATCH_WEIGHT = 1 / 8


class RunTime:
    """Run time and elements of the inputs (medians), as observed; at first what the warm-up learned.

    `clock` counts seconds. A run is short below `short_seconds`. A model whose run time a request may
    decide has no short runs.
    """

    __slots__ = ("_clock", "_elements", "_probing", "_short_ns", "_time_varies", "next_probe", "run_ns")

    def __init__(self, warm_up: WarmUp, short_seconds: float, clock: Callable[[], float]) -> None:
        self.run_ns = 1e9 if warm_up.run_seconds is None else warm_up.run_seconds * 1e9
        self.next_probe = 0.0
        self._elements = float(max(warm_up.input_elements, 1))
        self._time_varies = warm_up.time_varies
        self._short_ns = 0.0 if warm_up.time_varies else short_seconds * 1e9
        self._clock = clock
        self._probing = False

    @property
    def usually_short(self) -> bool:
        """True while the usual run is short."""
        return self.run_ns < self._short_ns

    def is_below(self, elements: int, seconds: float) -> bool:
        """Whether a run on so many elements is expected to take less than this; larger inputs take longer."""
        if self._time_varies or self.run_ns >= seconds * 1e9:
            return False
        return elements <= self._elements or self._expected_ns(elements) < seconds * 1e9

    def is_short(self, elements: int) -> bool:
        """Whether a run is expected to be short, or may be tried; where it is, `observe` it."""
        expected_ns = self._expected_ns(elements)
        if expected_ns < self._short_ns:
            return True
        return expected_ns < _PROBE_BELOW * self._short_ns and self._may_probe()

    def observe(self, elapsed_ns: int, elements: int) -> None:
        """Learn from a run."""
        if self._probing:
            self._probing = False
            self.run_ns = min(float(elapsed_ns), self.run_ns)
        # Follows the median: runs that the machine held up, however long, do not count for more than others.
        self.run_ns *= _MEDIAN_STEP if elapsed_ns > self.run_ns else 1 / _MEDIAN_STEP
        # The median, too: one large input must not make the next one look usual.
        self._elements *= _MEDIAN_STEP if max(elements, 1) > self._elements else 1 / _MEDIAN_STEP

    def _expected_ns(self, elements: int) -> float:
        if elements > self._elements:
            return self.run_ns * elements / self._elements
        return self.run_ns

    def _may_probe(self) -> bool:
        """Once a second a run that looks a little too long happens on the event loop all the same.

        On a thread a run's time includes waiting for the interpreter, so a model that was slow for a moment
        would never be seen to be fast again.
        """
        now = self._clock()
        if now < self.next_probe:
            return False
        self.next_probe = now + _PROBE_SECONDS
        self._probing = True
        return True


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
