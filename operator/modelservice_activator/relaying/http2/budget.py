"""How much a client may ask of us without asking for anything: floods of resets, pings and settings. Pure."""

from __future__ import annotations

MOST = 1000.0
"""A client may drop all it has asked for, a few times over."""
PER_SECOND = 100.0


class Budget:
    """A bucket of frames that cost us work and the client nothing; it fills with time."""

    def __init__(self, now: float) -> None:
        self._left = MOST
        self._at = now

    def spend(self, now: float) -> bool:
        """Take one frame in; False where there have been too many."""
        self._left = min(MOST, self._left + (now - self._at) * PER_SECOND) - 1
        self._at = now
        return self._left >= 0
