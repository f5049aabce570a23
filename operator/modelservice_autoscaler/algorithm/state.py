"""What the algorithm remembers from look to look. Its fields are its own affair."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """The memory of one service; immutable, bounded by the windows of its spec."""


EMPTY = State()
"""Of a service that is looked at for the first time, or by an autoscaler that has just started."""


def scaled(state: State, before: int, after: int, now_seconds: float) -> State:
    """Return the state after `/scale` was written; a write that failed leaves the state as it was."""
    del before, after, now_seconds
    return state
