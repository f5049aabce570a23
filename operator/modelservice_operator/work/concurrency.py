"""How many reconciliations at once the API server and this process answer without a queue. No I/O here.

A queue there is nobody's own: with eight calls of ours on the way the edit of another tenant, and the call
of any other client, waits behind eight. So the limit follows the time that one kind of call takes, as TCP
Vegas and Envoy's adaptive concurrency filter do: calls that take much longer than they once did wait
somewhere, and more of them at once would wait longer and be answered no faster.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 64
"""Calls whose median counts: one slow webhook, or one pause of a garbage collector, is not the rule."""
CROWDED = 1.5
"""Times the quickest window: one fewer at once from here on."""
FREE = 1.25
"""Times the quickest window: one more at once up to here."""
DOUBLING_SECONDS = 600.0
"""An API server may become slower for good: in so much time of calls one by one that still take longer, the
quickest window counts twice."""
REST_SECONDS = 5.0
"""A longer time without a call teaches no more than this."""


@dataclass(kw_only=True)
class ConcurrencyLimit:
    """A number from 1 to `most`, told to `tell` when it changes; it begins with 1: nothing is known yet."""

    most: int
    tell: Callable[[int], None]
    clock: Callable[[], float] = time.monotonic
    limit: int = field(default=1, init=False)
    _quickest_seconds: float = field(default=math.inf, init=False)
    _window: list[float] = field(default_factory=list, init=False)
    _noted_at: float = field(default=math.inf, init=False)

    def __post_init__(self) -> None:
        self.tell(self.limit)

    def note(self, seconds: float) -> None:
        """Take into account that a call took so long; all of them are of one kind."""
        now = self.clock()
        if self.limit == 1:
            passed = min(max(now - self._noted_at, 0.0), REST_SECONDS)
            self._quickest_seconds *= 2 ** (passed / DOUBLING_SECONDS)
        self._noted_at = now
        self._window.append(seconds)
        if len(self._window) == WINDOW:
            self._adapt(statistics.median(self._window))
            self._window.clear()

    def _adapt(self, seconds: float) -> None:
        self._quickest_seconds = min(self._quickest_seconds, seconds)
        if seconds <= FREE * self._quickest_seconds:
            self._set(min(self.limit + 1, self.most))
        elif seconds >= CROWDED * self._quickest_seconds:
            self._set(max(self.limit - 1, 1))

    def _set(self, limit: int) -> None:
        if limit != self.limit:
            self.limit = limit
            self.tell(limit)
