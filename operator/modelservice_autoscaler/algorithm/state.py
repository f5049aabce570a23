"""What the algorithm remembers from look to look. Its fields are its own affair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_autoscaler.algorithm.tracks import Track

LONGEST_PERIOD_SECONDS = 1800.0
"""Of a policy, by the API."""


class Recommended(NamedTuple):
    """What the signals asked for at a moment."""

    at_seconds: float
    replicas: int


class Change(NamedTuple):
    """A change of `/scale`, by this autoscaler."""

    at_seconds: float
    replicas: int
    """How many came; negative: went."""


@dataclass(frozen=True, slots=True)
class State:
    """The memory of one service; never changed in place, and bounded by the windows of its spec."""

    since_seconds: float = inf
    """Since when it was looked at without a gap."""
    looked_seconds: float = -inf
    """When it was looked at last."""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    highest: tuple[Recommended, ...] = ()
    """For scaling down: what was recommended, without whatever was followed by as much or more."""
    lowest: tuple[Recommended, ...] = ()
    """For scaling up: without whatever was followed by as little or less."""
    changes: tuple[Change, ...] = ()
    burst_seconds: float = -inf
    """When a burst was seen last."""


EMPTY = State()
"""Of a service that is looked at for the first time, or by an autoscaler that has just started."""


def scaled(state: State, before: int, after: int, now_seconds: float) -> State:
    """Return the state after `/scale` was written; a write that failed leaves the state as it was."""
    oldest = now_seconds - LONGEST_PERIOD_SECONDS
    kept = (change for change in state.changes if change.at_seconds > oldest)
    return replace(state, changes=(*kept, Change(now_seconds, after - before)))
