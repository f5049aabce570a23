"""How often something may be done that is good to have, and not worth any price. No I/O here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Allowance:
    """So many at once at `most`; one more each `each_seconds`."""

    most: int
    each_seconds: float
    _left: float = field(default=math.inf, init=False)
    _refilled_at: float = field(default=-math.inf, init=False)

    def spend(self, now: float) -> bool:
        """Whether it may be done now, by a monotonic clock."""
        self._left = min(float(self.most), self._left + (now - self._refilled_at) / self.each_seconds)
        self._refilled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
