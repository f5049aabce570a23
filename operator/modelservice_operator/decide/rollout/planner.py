"""The rolling update across the Deployments of several revisions.

Each revision has its own Deployment, so this replaces the Deployment controller's arithmetic:

1. The revision to fill (`goal`) is the target, or the stable one when the target was given up.
2. Scale down what is not the goal, oldest concern first:
   - pods that are not available, once the revision's status is up to date: all of them; of the stable
     revision only so many that, if the rest of them recovers, enough would be available;
   - available pods: only while more than `replicas - max_unavailable` pods are available, and only when
     every Deployment's status is up to date.
3. Scale the goal up, as far as all existing pods stay within `replicas + max_surge`. Pods that step 2
   removes still count: the next step, one watch event later, uses their place. Where there is no surge,
   a pod that is being stopped counts until it is gone: it holds its GPU, and its part of a quota, while it
   finishes its requests, so a new pod could only wait, or be refused for ever longer times.
4. The target becomes stable as soon as `replicas` pods of it are available; with no replicas wanted, at
   once. Past the progress deadline it is given up, unless nothing else serves.

Nothing is remembered between steps: every step follows from the observed pods alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout.model import Phase, Plan, RevisionState, RolloutSpec, RolloutState

if TYPE_CHECKING:
    from datetime import datetime


def plan(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Plan:
    """Return the next step towards `spec` from what is observed.

    Guarantees: a plan never takes available pods away below `replicas - max_unavailable`, never lets the
    pods of all revisions rise above `replicas + max_surge`, and comes to rest when nothing changes.
    """
    states = {state.name: state for state in observed.revisions}
    target = states.get(observed.target) or RevisionState(name=observed.target, wanted=0, pods=0, available=0)
    given_up = observed.aborted and observed.stable not in (None, observed.target)
    stable = observed.target if not given_up and _is_complete(spec, target) else observed.stable
    is_complete = stable == observed.target
    remaining = _seconds_left(spec, observed, target, now)
    overdue = not is_complete and remaining is not None and remaining <= 0
    aborted = given_up or (overdue and stable is not None)
    goal = stable if aborted and stable is not None else observed.target
    replicas, waits_for_leaving = _next_replicas(spec, observed, goal)
    # The age of the target's Deployment is why it is given up: it stays until that has been recorded.
    keep = {goal, stable} if given_up else {goal, stable, observed.target}
    phase: Phase = "Complete" if is_complete else "Aborted" if aborted else "Progressing"
    return Plan(
        replicas=_without_finished(replicas, states, keep=keep),
        weights={goal: 100},
        stable=stable,
        phase=phase,
        overdue=overdue,
        waits_for_leaving=waits_for_leaving,
        requeue_after_seconds=None if is_complete or aborted or overdue else remaining,
    )


def hold(observed: RolloutState) -> Plan:
    """Return a plan that leaves everything as it is: for a spec that does not say how many pods it wants."""
    is_complete = observed.stable == observed.target
    return Plan(
        replicas={state.name: state.wanted for state in observed.revisions},
        weights={observed.stable or observed.target: 100},
        stable=observed.stable,
        phase="Complete" if is_complete else "Aborted" if observed.aborted else "Progressing",
    )


def max_surge_pods(spec: RolloutSpec) -> int:
    """Pods allowed above `replicas`; a percentage is rounded up, as in Deployments."""
    return _resolve(spec.max_surge, spec.replicas, round_up=True)


def max_unavailable_pods(spec: RolloutSpec) -> int:
    """Pods allowed to be missing; a percentage is rounded down; 1 where the surge is 0 too."""
    unavailable = _resolve(spec.max_unavailable, spec.replicas, round_up=False)
    return max(unavailable, 1) if max_surge_pods(spec) == 0 else unavailable


def _resolve(value: int | str, replicas: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    hundredths = int(value.removesuffix("%")) * replicas
    return -(-hundredths // 100) if round_up else hundredths // 100


def _is_complete(spec: RolloutSpec, target: RevisionState) -> bool:
    return spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)


def _seconds_left(
    spec: RolloutSpec, observed: RolloutState, target: RevisionState, now: datetime
) -> float | None:
    """Return the time until the target is given up, None where work on it has not begun.

    Each pod that became available earns the next one a deadline of its own: a large service that makes
    progress is never given up, and nothing has to be remembered about when that progress was.
    """
    if observed.started_at is None:
        return None
    granted = spec.progress_deadline_seconds * (target.serving + 1)
    return granted - (now - observed.started_at).total_seconds()


def _next_replicas(spec: RolloutSpec, observed: RolloutState, goal: str) -> tuple[dict[str, int], bool]:
    """Return the replicas of the goal and of every existing Deployment, and whether leaving pods delay it."""
    states = {state.name: state for state in observed.revisions}
    goal_state = states.pop(goal, None) or RevisionState(name=goal, wanted=0, pods=0, available=0)
    others = _in_order_of_removal(observed, states)
    replicas = _scale_down(spec, goal_state, others, observed)
    occupied = sum(state.occupied for state in (goal_state, *others))
    room = max(0, spec.replicas + max_surge_pods(spec) - occupied)
    missing = max(0, min(room, spec.replicas - goal_state.wanted))
    added = min(missing, room - _held_by_leaving(spec, observed, others, room))
    replicas[goal] = min(spec.replicas, goal_state.wanted + added)
    return replicas, added < missing


def _held_by_leaving(
    spec: RolloutSpec, observed: RolloutState, others: tuple[RevisionState, ...], room: int
) -> int:
    """Return how much of the room is not free yet; without a rollout a lost pod is replaced at once."""
    if not others or max_surge_pods(spec) > 0:
        return 0
    return room if observed.leaving is None else min(room, observed.leaving)


def _in_order_of_removal(
    observed: RolloutState, others: dict[str, RevisionState]
) -> tuple[RevisionState, ...]:
    """Revisions in between first, then the given-up target, then stable: it is proven, so it goes last."""
    rank = {observed.target: 1, observed.stable: 2}
    return tuple(sorted(others.values(), key=lambda state: (rank.get(state.name, 0), state.name)))


def _scale_down(
    spec: RolloutSpec, goal: RevisionState, others: tuple[RevisionState, ...], observed: RolloutState
) -> dict[str, int]:
    """Return the new replicas of all revisions but the goal."""
    needed = spec.replicas - max_unavailable_pods(spec)
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
