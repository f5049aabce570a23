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

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout.deadlines import (
    PROBE_AGAIN_SECONDS,
    find_probe,
    look_again_seconds,
    patience_left_seconds,
    seconds_left,
    seconds_since,
    soonest,
)
from modelservice_operator.decide.rollout.limits import Limits, compute_limits
from modelservice_operator.decide.rollout.model import (
    Capacity,
    Phase,
    Plan,
    RevisionState,
    RolloutSpec,
    RolloutState,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Where the rollout stands, and with it which revision is to be filled within which limits."""

    stable: str | None
    goal: str
    phase: Phase
    limits: Limits
    capacity: Capacity | None = None
    held: bool = False
    overdue: bool = False
    due_in_seconds: float | None = None


def plan(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Plan:
    """Return the next step towards `spec` from what is observed.

    Guarantees: a plan never takes available pods away below `replicas - unavailable`, never lets the
    pods of all revisions rise above `replicas + surge`, and comes to rest when nothing changes.
    """
    course = _set_course(spec, observed, now)
    goal, limits, capacity = course.goal, course.limits, course.capacity
    replicas, waits_for_leaving = _next_replicas(spec, limits, observed, goal, capacity)
    # The age of the target's Deployment is why it is given up: it stays until that has been recorded.
    keep = {goal, course.stable} if _is_given_up(observed) else {goal, course.stable, observed.target}
    probe = find_probe(spec, limits, observed.revisions) if course.phase == "Progressing" else None
    return Plan(
        replicas=_without_finished(replicas, observed.revisions, keep=keep),
        weights={goal: 100},
        stable=course.stable,
        phase=course.phase,
        overdue=course.overdue,
        waits_for_leaving=waits_for_leaving,
        is_tight=limits.is_tight,
        held=course.held,
        capacity=capacity,
        probe=probe,
        requeue_after_seconds=soonest(
            course.due_in_seconds, look_again_seconds(capacity, probe, now, held=course.held)
        ),
    )


def _set_course(spec: RolloutSpec, observed: RolloutState, now: datetime) -> _Course:
    target = next((one for one in observed.revisions if one.name == observed.target), None)
    target = target or _none_of(observed.target)
    given_up, stable = _is_given_up(observed), observed.stable
    if stable == target.name or (not given_up and _is_complete(spec, target)):
        limits = compute_limits(spec, None)
        return _Course(stable=target.name, goal=target.name, phase="Complete", limits=limits)
    capacity = _known_capacity(spec, observed, now)
    patience = patience_left_seconds(spec, observed, now)
    limits = compute_limits(spec, capacity, is_down=patience is not None and patience <= 0)
    if not given_up and _is_held(limits, target, capacity, observed.revisions):
        return _Course(
            stable=stable,
            goal=target.name,
            phase="Progressing",
            limits=limits,
            capacity=capacity,
            held=True,
            due_in_seconds=patience,
        )
    looks_anew = capacity is None and observed.capacity is not None
    remaining = seconds_left(spec, limits, observed, now, looks_anew=looks_anew)
    overdue = remaining is not None and remaining <= 0
    aborted = given_up or (overdue and stable is not None)
    return _Course(
        stable=stable,
        goal=stable if aborted and stable is not None else target.name,
        phase="Aborted" if aborted else "Progressing",
        limits=limits,
        capacity=capacity,
        overdue=overdue,
        due_in_seconds=None if aborted or overdue else remaining,
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


def _is_given_up(observed: RolloutState) -> bool:
    return observed.aborted and observed.stable not in (None, observed.target)


def _is_complete(spec: RolloutSpec, target: RevisionState) -> bool:
    return spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)


def _known_capacity(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Capacity | None:
    """Return what is recorded, unless it is time to look for room again."""
    known = observed.capacity
    if known is None or known.decided_at is None:
        return known
    if known.replicas is not None and spec.replicas < known.replicas:
        # Pods that are not wanted any more leave their room to the surge.
        return None
    # A time to come is of a clock that was wrong.
    is_recent = 0 <= seconds_since(known.decided_at, now) < PROBE_AGAIN_SECONDS
    is_stuck = _leaves_no_way(compute_limits(spec, known))
    return None if is_stuck and not is_recent else known


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
        and any(state.wanted for state in states if state.name != target.name)
    )


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
    is_made = goal in observed.revisions
    if limits.at_once:
        return {state.name: 0 if is_made else state.wanted for state in others}
    # A Deployment that cannot be made must not cost the pods that serve: none may be missing for it.
    needed = spec.replicas - (limits.unavailable if is_made else 0)
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
    replicas: dict[str, int], states: Iterable[RevisionState], *, keep: set[str | None]
) -> dict[str, int]:
    """Leave out revisions of which no pod is left and none is wanted.

    A pod that terminates is one that is left: without its Deployment the disruption controller cannot tell
    how many pods are wanted, and allows no eviction at all.
    """
    empty = {state.name for state in states if state.settled and state.occupied == state.terminating == 0}
    return {name: count for name, count in replicas.items() if name in keep or count > 0 or name not in empty}
