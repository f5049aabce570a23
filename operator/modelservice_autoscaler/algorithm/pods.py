"""The pods of a service by what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.windows import BURST_SECONDS, SHORTEST_SECONDS, STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from modelservice_autoscaler.algorithm.state import State


@dataclass(frozen=True, slots=True)
class Pods:
    """UIDs of ready pods by what is known of them, and how many are not ready."""

    answering: frozenset[str]
    missing: frozenset[str]
    """For too long without an answer."""
    fresh: frozenset[str]
    """Ready for too short a time to be known."""
    pending: int
    """Wanted, but not ready."""
    are_settled: bool
    """Whether none became ready in the last seconds: what such a pod takes over has not shown yet."""

    @property
    def ready(self) -> int:
        """How many are ready."""
        return len(self.answering) + len(self.missing) + len(self.fresh)

    @property
    def unready(self) -> int:
        """How many are to be counted as doing nothing yet."""
        return self.pending + len(self.fresh)


def group_pods(state: State, ready: Collection[str], replicas: int) -> Pods:
    """Tell the pods that answer from those that do not and from those that have only just come."""
    now = state.looked_seconds
    answering, missing, fresh = set(), set(), set()
    settled_since = max(now - BURST_SECONDS, state.since_seconds)
    for uid in ready:
        track = state.tracks[uid]
        if now - track.end_seconds > STALE_SECONDS:
            missing.add(uid)
        elif track.points and track.end_seconds - track.points[0].at_seconds >= SHORTEST_SECONDS:
            answering.add(uid)
        else:
            fresh.add(uid)
    return Pods(
        answering=frozenset(answering),
        missing=frozenset(missing),
        fresh=frozenset(fresh),
        pending=max(replicas - len(ready), 0),
        are_settled=all(state.tracks[uid].since_seconds <= settled_since for uid in ready),
    )
