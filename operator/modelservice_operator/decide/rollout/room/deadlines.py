"""When something is due in a rollout that no event tells: deadlines, and looks at room in the cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout.model import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from modelservice_operator.decide.rollout.model import Capacity, RevisionState, RolloutSpec, RolloutState
    from modelservice_operator.decide.rollout.room.limits import Limits

PROBE_AGAIN_SECONDS = 600.0
"""A rollout that is held looks for room again after this time: nobody tells it that a GPU has become free."""
LOOK_AGAIN_SECONDS = 10.0
"""How often to look at pods for which a cluster autoscaler makes room: that is how often it looks itself."""


def seconds_left(
    spec: RolloutSpec, limits: Limits, observed: RolloutState, now: datetime, *, begun_at: datetime
) -> float | None:
    """Return the time until the target is given up, None where work on it has not begun.

    Each pod that became available earns the next one a deadline of its own: a large service that makes
    progress is never given up, and nothing has to be remembered about when that progress was. Its time
    begins when pods are missing (`begun_at`); where it may have to wait for the end of another, when it is
    asked for.
    """
    waits = limits.is_tight and observed.stable is not None
    times = (observed.asked_at,) if waits else (observed.started_at, observed.asked_at)
    if not any(times):
        return None
    started_at = max(time for time in (*times, begun_at) if time)
    target = next((one for one in observed.revisions if one.name == observed.target), None)
    granted = spec.progress_deadline_seconds * ((target.serving if target else 0) + 1)
    return granted - seconds_since(started_at, now)


def seconds_since(time: datetime, now: datetime) -> float:
    """Return the age of a time."""
    return (now - time).total_seconds()


def find_probe(spec: RolloutSpec, limits: Limits, states: Iterable[RevisionState]) -> Probe | None:
    """Return the probe that runs while there are more pods than wanted, None where there is no surge."""
    # Pods that have just been asked for have not looked for room yet.
    here = sum(state.occupied if state.settled else state.pods for state in states)
    surplus = here - spec.replicas
    if spec.surge_probe_seconds is None or limits.surge == 0 or surplus <= 0:
        return None
    # It must be over before the deadline is.
    seconds = min(spec.surge_probe_seconds, spec.progress_deadline_seconds / 2)
    return Probe(replicas=spec.replicas, surplus=surplus, seconds=seconds)


def look_again_seconds(
    capacity: Capacity | None, probe: Probe | None, now: datetime, *, held: bool
) -> float | None:
    """Return when something about room is due that no event tells."""
    if capacity is None:
        return None
    if held and capacity.decided_at is not None:
        return max(0.0, PROBE_AGAIN_SECONDS - seconds_since(capacity.decided_at, now))
    if probe is None or capacity.short_since is None:
        return None
    left = (capacity.short_since + timedelta(seconds=probe.seconds) - now).total_seconds()
    return left if left > 0 else LOOK_AGAIN_SECONDS


def soonest(*delays_seconds: float | None) -> float | None:
    """Return the least of the delays, None where there is none."""
    return min((one for one in delays_seconds if one is not None), default=None)


def patience_left_seconds(spec: RolloutSpec, observed: RolloutState, now: datetime) -> float | None:
    """Return how much longer a pod that served may be broken before it may go; None where one answers."""
    is_serving = any(state.serving for state in observed.revisions)
    if observed.down_since is None or is_serving or spec.surge_probe_seconds is None:
        return None
    return max(1.0, spec.surge_probe_seconds) - seconds_since(observed.down_since, now)
