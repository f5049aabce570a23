"""The change from the pods of several revisions to those of one.

Each revision has its own Deployment, so this replaces the Deployment controller's arithmetic:

1. The revision to fill (`goal`) is the target, or the stable one when the target was given up.
2. Scale down what is not the goal, oldest concern first:
   - pods that are not available, once the revision's status is up to date: all of them; of the stable
     revision only so many that, if the rest of them recovers, enough would be available;
   - available pods: only while more than `replicas - unavailable` pods are available, and only when
     every Deployment's status is up to date.
   `Recreate` scales all of it to 0, once the goal's Deployment exists.
3. Scale the goal up, as far as all existing pods stay within `replicas + surge`. Pods that step 2
   removes still count: the next step, one watch event later, uses their place. Where the limits are tight,
   a pod that is being stopped counts until it is gone: it holds its GPU, and its part of a quota, while it
   finishes its requests, so a new pod could only wait, or be refused for ever longer times. `Recreate`
   waits until every other pod is gone.
4. Pods of the target for which there is no room, and no surge any more, are taken back.
5. The target becomes stable as soon as `replicas` pods of it are available; with no replicas wanted, at
   once. Past the progress deadline it is given up, unless nothing else serves, or nothing of it may be
   tried (`held`).

Limits come from the spec, and from what is recorded about room in the cluster (`Capacity`). Beside that
nothing is remembered between steps: every step follows from the observed pods alone.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout.limits import Limits, compute_limits
from modelservice_operator.decide.rollout.model import (
    Capacity,
    Phase,
    Plan,
    Probe,
    RevisionState,
    RolloutSpec,
    RolloutState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

PROBE_AGAIN_SECONDS = 600.0
"""A rollout that is held looks for room again after this time: nobody tells it that a GPU has become free."""
LOOK_AGAIN_SECONDS = 10.0
"""How often to look at pods for which a cluster autoscaler makes room: that is how often it looks itself."""


def plan(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Plan:
    """Return the next step towards `spec` from what is observed.

    Guarantees: a plan never takes available pods away below `replicas - unavailable`, never lets the
    pods of all revisions rise above `replicas + surge`, and comes to rest when nothing changes.
    """
    states = {state.name: state for state in observed.revisions}
    target = states.get(observed.target) or _none_of(observed.target)
    given_up = observed.aborted and observed.stable not in (None, observed.target)
    stable = observed.target if not given_up and _is_complete(spec, target) else observed.stable
    is_complete = stable == observed.target
    capacity = None if is_complete else _known_capacity(spec, observed, now)
    down_seconds = _seconds_down(observed, now)
    limits = compute_limits(spec, capacity, is_down=down_seconds >= _patience_seconds(spec))
    held = not (is_complete or given_up) and _is_held(limits, target, capacity, states.values())
    remaining = None if held else _seconds_left(spec, limits, observed, now)
    overdue = not is_complete and remaining is not None and remaining <= 0
    aborted = given_up or (overdue and stable is not None)
    phase: Phase = "Complete" if is_complete else "Aborted" if aborted else "Progressing"
    goal = stable if aborted and stable is not None else observed.target
    replicas, waits_for_leaving = _next_replicas(spec, limits, observed, goal, capacity)
    # The age of the target's Deployment is why it is given up: it stays until that has been recorded.
    keep = {goal, stable} if given_up else {goal, stable, observed.target}
    probe = _probe(spec, limits, observed.revisions) if phase == "Progressing" else None
    return Plan(
        replicas=_without_finished(replicas, states, keep=keep),
        weights={goal: 100},
        stable=stable,
        phase=phase,
        overdue=overdue,
        waits_for_leaving=waits_for_leaving,
        is_tight=limits.is_tight,
        held=held,
        capacity=capacity,
        probe=probe,
        requeue_after_seconds=None
        if phase != "Progressing"
        else soonest(
            None if overdue else remaining,
            _look_again_seconds(capacity, probe, now, held=held),
            _patience_seconds(spec) - down_seconds if held and down_seconds > 0 else None,
        ),
    )


def hold(observed: RolloutState) -> Plan:
    """Return a plan that leaves everything as it is: for a spec that does not say how many pods it wants."""
    is_complete = observed.stable == observed.target
    return Plan(
        replicas={state.name: state.wanted for state in observed.revisions},
        weights={observed.stable or observed.target: 100},
        stable=observed.stable,
        phase="Complete" if is_complete else "Aborted" if observed.aborted else "Progressing",
        capacity=None if is_complete else observed.capacity,
    )


def _none_of(revision: str) -> RevisionState:
    return RevisionState(name=revision, wanted=0, pods=0, available=0)


def _is_complete(spec: RolloutSpec, target: RevisionState) -> bool:
    return spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)


def _known_capacity(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Capacity | None:
    """Return what is recorded, unless it is time to look for room again."""
    known = observed.capacity
    if known is None or known.decided_at is None:
        return known
    is_stuck = _leaves_no_way(compute_limits(spec, known))
    return None if is_stuck and _seconds_since(known.decided_at, now) >= PROBE_AGAIN_SECONDS else known


def _seconds_down(observed: RolloutState, now: datetime) -> float:
    """Return how long no pod has answered, 0 where one does."""
    if observed.down_since is None or any(state.serving for state in observed.revisions):
        return 0.0
    return _seconds_since(observed.down_since, now)


def _patience_seconds(spec: RolloutSpec) -> float:
    """Return how long a pod that served may be broken before it may go for a new one."""
    return math.inf if spec.surge_probe_seconds is None else max(1.0, spec.surge_probe_seconds)


def _leaves_no_way(limits: Limits) -> bool:
    return limits.surge == limits.unavailable == 0


def _is_held(
    limits: Limits, target: RevisionState, capacity: Capacity | None, states: Iterable[RevisionState]
) -> bool:
    """Whether no pod of the target has room, and none of the others may go."""
    missing = capacity.missing if capacity else 0
    return (
        _leaves_no_way(limits)
        and target.wanted <= missing
        and any(state.occupied for state in states if state.name != target.name)
    )


def _seconds_left(spec: RolloutSpec, limits: Limits, observed: RolloutState, now: datetime) -> float | None:
    """Return the time until the target is given up, None where work on it has not begun.

    Each pod that became available earns the next one a deadline of its own: a large service that makes
    progress is never given up, and nothing has to be remembered about when that progress was. Where a pod
    may have to wait for the end of another, its time begins when it is asked for.
    """
    waits = limits.is_tight and observed.stable is not None
    started_at = observed.asked_at if waits else observed.started_at
    if started_at is None:
        return None
    target = next((one for one in observed.revisions if one.name == observed.target), None)
    granted = spec.progress_deadline_seconds * ((target.serving if target else 0) + 1)
    return granted - _seconds_since(started_at, now)


def _seconds_since(time: datetime, now: datetime) -> float:
    return (now - time).total_seconds()


def _probe(spec: RolloutSpec, limits: Limits, states: Iterable[RevisionState]) -> Probe | None:
    """Return the probe that runs while there are more pods than wanted, None where there is no surge."""
    # Pods that have just been asked for have not looked for room yet.
    here = sum(state.occupied if state.settled else state.pods for state in states)
    surplus = here - spec.replicas
    if spec.surge_probe_seconds is None or limits.surge == 0 or surplus <= 0:
        return None
    # It must be over before the deadline is.
    seconds = min(spec.surge_probe_seconds, spec.progress_deadline_seconds / 2)
    return Probe(surplus=surplus, seconds=seconds)


def _look_again_seconds(
    capacity: Capacity | None, probe: Probe | None, now: datetime, *, held: bool
) -> float | None:
    """Return when something about room is due that no event tells."""
    if capacity is None:
        return None
    if held and capacity.decided_at is not None:
        return max(0.0, PROBE_AGAIN_SECONDS - _seconds_since(capacity.decided_at, now))
    if probe is None or capacity.short_since is None:
        return None
    left = (capacity.short_since + timedelta(seconds=probe.seconds) - now).total_seconds()
    return left if left > 0 else LOOK_AGAIN_SECONDS


def soonest(*delays_seconds: float | None) -> float | None:
    """Return the least of the delays, None where there is none."""
    return min((one for one in delays_seconds if one is not None), default=None)


def _next_replicas(
    spec: RolloutSpec, limits: Limits, observed: RolloutState, goal: str, capacity: Capacity | None
) -> tuple[dict[str, int], bool]:
    """Return the replicas of the goal and of every existing Deployment, and whether leaving pods delay it."""
    states = {state.name: state for state in observed.revisions}
    goal_state = states.pop(goal, None) or _none_of(goal)
    others = _in_order_of_removal(observed, states)
    replicas = _scale_down(spec, limits, goal_state, others, observed)
    room = spec.replicas + limits.surge - sum(state.occupied for state in (goal_state, *others))
    if room < 0:
        taken_back = min(-room, _without_room(observed, goal_state, capacity))
        replicas[goal] = min(spec.replicas, goal_state.wanted - taken_back)
        return replicas, False
    missing = max(0, min(room, spec.replicas - goal_state.wanted))
    added = min(missing, _free_room(limits, observed, others, room))
    replicas[goal] = min(spec.replicas, goal_state.wanted + added)
    return replicas, added < missing and observed.leaving != 0


def _without_room(observed: RolloutState, goal: RevisionState, capacity: Capacity | None) -> int:
    """Return the pods of the target that find no room, once it is decided to do without them."""
    if capacity is None or capacity.surge is None or goal.name != observed.target:
        return 0
    return min(capacity.missing, goal.wanted - goal.serving)


def _free_room(limits: Limits, observed: RolloutState, others: tuple[RevisionState, ...], room: int) -> int:
    """Return how much of the room is free now; without a rollout a lost pod is replaced at once."""
    if not others or not limits.is_tight:
        return room
    leaving = room if observed.leaving is None else observed.leaving
    if limits.at_once:
        return 0 if leaving or any(state.occupied for state in others) else room
    return max(0, room - leaving)


def _in_order_of_removal(
    observed: RolloutState, others: dict[str, RevisionState]
) -> tuple[RevisionState, ...]:
    """Revisions in between first, then the given-up target, then stable: it is proven, so it goes last."""
    rank = {observed.target: 1, observed.stable: 2}
    return tuple(sorted(others.values(), key=lambda state: (rank.get(state.name, 0), state.name)))


def _scale_down(
    spec: RolloutSpec,
    limits: Limits,
    goal: RevisionState,
    others: tuple[RevisionState, ...],
    observed: RolloutState,
) -> dict[str, int]:
    """Return the new replicas of all revisions but the goal."""
    if limits.at_once:
        # A Deployment that cannot be made must not cost the pods that serve.
        is_made = goal in observed.revisions
        return {state.name: 0 if is_made else state.wanted for state in others}
    needed = spec.replicas - limits.unavailable
    # One that is not settled may have a pod that became available since: nobody has counted it yet.
    broken = {state.name: state.wanted - state.serving if state.settled else 0 for state in others}
    # Only stable's broken pods may be worth waiting for: they served once.
    worth_waiting = broken.get(observed.stable or "", 0)
    serving = sum(state.serving for state in (goal, *others))
    spare_broken = max(0, serving + worth_waiting - needed)
    spare_serving = max(0, serving - needed) if all(s.settled for s in (goal, *others)) else 0
    replicas = {}
    for state in others:
        drop = broken[state.name] if state.name != observed.stable else min(broken[state.name], spare_broken)
        # Where broken pods are worth waiting for, spare_serving is 0: ReplicaSets remove those first.
        drop_serving = min(state.serving, spare_serving)
        spare_serving -= drop_serving
        replicas[state.name] = state.wanted - drop - drop_serving
    return replicas


def _without_finished(
    replicas: dict[str, int], states: dict[str, RevisionState], *, keep: set[str | None]
) -> dict[str, int]:
    """Leave out revisions of which no pod is left and none is wanted.

    A pod that terminates is one that is left: without its Deployment the disruption controller cannot tell
    how many pods are wanted, and allows no eviction at all.
    """
    return {
        name: count
        for name, count in replicas.items()
        if name in keep or count > 0 or not _is_empty(states[name])
    }


def _is_empty(state: RevisionState) -> bool:
    return state.settled and state.occupied == state.terminating == 0
