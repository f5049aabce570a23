"""The change from the pods of several revisions to those of one: one planner for every strategy.

1. Progress (`steps`): which step goes on, whether the target may get traffic, whether it was given up.
2. The course: how many pods each revision shall have in the end (`shares`), and whom clients shall be led to.
   - RollingUpdate and Recreate: all to the target. Canary: by the weight of the step that goes on, after the
     last one all to the target. BlueGreen: all to both, until clients were led over.
   - A target that was given up: all to stable.
   - While pods exist that must get no traffic, clients are led to stable alone; but never where that leaves
     fewer pods that answer than the limits allow.
3. Pods (`pods`): towards the shares, oldest concern first:
   - pods that are not available, once the revision's status is up to date: all that are too many; of the
     stable revision only so many that, if the rest of them recovers, enough would be available;
   - available pods that are too many: only while more than `replicas - unavailable` pods answer, and only
     when every Deployment's status is up to date. Pods count as answering where clients are led to them now
     and will be after this step;
   - then up, as far as all existing pods stay within `replicas + surge`. Pods that were just removed still
     count: the next step, one watch event later, uses their place. Where the limits are tight, a pod that is
     being stopped counts until it is gone: it holds its GPU, and its part of a quota, while it finishes its
     requests, so a new pod could only wait, or be refused for ever longer times. `Recreate` waits until
     every other pod is gone;
   - pods of the target for which there is no room, and no surge any more, are taken back.
4. The target becomes stable as soon as clients are led to `replicas` available pods of it; with no replicas
   wanted, at once. Past the progress deadline it is given up, unless nothing else serves, or nothing of it
   may be tried (`held`).

Limits come from the spec, and from what is recorded about room in the cluster (`Capacity`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout import steps
from modelservice_operator.decide.rollout.model import (
    Capacity,
    Phase,
    Plan,
    Progress,
    RevisionState,
    RolloutSpec,
    RolloutState,
)
from modelservice_operator.decide.rollout.pods import Aim, next_replicas
from modelservice_operator.decide.rollout.room.deadlines import (
    PROBE_AGAIN_SECONDS,
    find_probe,
    look_again_seconds,
    patience_left_seconds,
    seconds_left,
    seconds_since,
    soonest,
)
from modelservice_operator.decide.rollout.room.limits import Limits, compute_limits
from modelservice_operator.decide.rollout.traffic import Reach, by_pods, choose_selector, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Where the rollout stands, and with it which revision shall have how many pods within which limits."""

    stable: str | None
    shares: Mapping[str, int]
    goal: str | None
    phase: Phase
    limits: Limits
    progress: Progress
    wish: str | None = None
    """The only revision that clients shall be led to, None for all."""
    capacity: Capacity | None = None
    held: bool = False
    overdue: bool = False
    verifies: bool = False
    measures: str | None = None
    lingering: frozenset[str] = frozenset()
    due_in_seconds: float | None = None


def plan(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Plan:
    """Return the next step towards `spec` from what is observed.

    Guarantees: a plan never takes available pods away below `replicas - unavailable`, never lets the
    pods of all revisions rise above `replicas + surge`, leads clients to no pod of a target that may not get
    traffic, and comes to rest when nothing changes.
    """
    progress = steps.obey(steps.begin(spec, observed, now), observed, now)
    course = _set_course(spec, observed, progress, now)
    limits, capacity = course.limits, course.capacity
    selector = choose_selector(observed, course.wish, spec.replicas - limits.unavailable)
    aim = Aim(
        replicas=spec.replicas,
        shares=course.shares,
        goal=course.goal,
        limits=limits,
        reach=Reach(observed, selector),
        capacity=capacity,
        may_start=course.stable == observed.target or _may_start(spec, observed, course.progress),
    )
    replicas, waits_for_leaving = next_replicas(aim)
    is_going_on = course.phase not in ("Complete", "Aborted")
    probe = find_probe(spec, limits, observed.revisions) if is_going_on else None
    return Plan(
        replicas=_without_finished(replicas, observed.revisions, keep=_kept(observed, course)),
        weights=_weights(spec, observed, course, selector),
        stable=course.stable,
        phase=course.phase,
        overdue=course.overdue,
        waits_for_leaving=waits_for_leaving,
        is_tight=limits.is_tight,
        held=course.held,
        capacity=capacity,
        probe=probe,
        selector=selector,
        preview=_preview(spec, observed, course),
        progress=course.progress,
        verifies=course.verifies,
        measures=course.measures,
        lingering=course.lingering,
        fills=course.goal or observed.target,
        requeue_after_seconds=soonest(
            course.due_in_seconds,
            steps.due_seconds(spec, course.progress, now) if is_going_on else None,
            look_again_seconds(capacity, probe, now, held=course.held),
        ),
    )


def _set_course(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> _Course:
    if observed.stable == observed.target:
        return _after_the_change(spec, observed, progress, now)
    progress = steps.verify(spec, observed, progress, now)
    if progress.contract == "Failed" and spec.contract == "Enforce" and not progress.reason:
        progress = replace(progress, reason=steps.CONTRACT_BROKEN)
    if observed.stable is not None and (observed.aborted or progress.reason):
        return _back(spec, observed, observed.stable, progress)
    if _is_complete(spec, observed, progress):
        return _completed(spec, observed, progress, now)
    course = _go_on(spec, observed, progress, now)
    return _within_deadline(spec, observed, course, now)


def _back(spec: RolloutSpec, observed: RolloutState, stable: str, progress: Progress) -> _Course:
    """The target was given up: stable serves on, or again."""
    limits = compute_limits(spec, observed.capacity)
    return _Course(
        stable=stable,
        shares={stable: spec.replicas},
        goal=stable,
        phase="Aborted",
        limits=limits,
        progress=replace(progress, paused=None, paused_since=None),
        wish=stable if _is_pinned(spec, observed, {stable}) else None,
        capacity=observed.capacity,
    )


def _is_pinned(spec: RolloutSpec, observed: RolloutState, admitted: set[str]) -> bool:
    """Whether clients have to be led to one revision alone: there are pods that must get no traffic."""
    if spec.strategy == "BlueGreen":
        return True
    return any(one.occupied and one.name not in admitted for one in observed.revisions)


def _completed(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> _Course:
    """The target becomes the stable revision."""
    done = replace(
        progress,
        index=len(spec.steps),
        since=None,
        paused=None,
        paused_since=None,
        promoted=False,
        stable_down_since=None,
        run="",
        measured=0,
        failed=0,
        inconclusive=0,
        previous=observed.stable,
        promoted_at=now,
    )
    return _after_the_change(spec, replace(observed, stable=observed.target), done, now)


def _after_the_change(
    spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime
) -> _Course:
    """The target is the stable revision; the one before it may have to stay for a while, or to come back."""
    target, previous = observed.target, progress.previous
    age = seconds_since(progress.promoted_at, now) if progress.promoted_at else 0.0
    stays = spec.scale_down_delay_seconds - age if spec.strategy == "BlueGreen" else 0.0
    watched = spec.rollback_window_seconds - age if spec.watch else 0.0
    if previous is None or max(stays, watched) <= 0:
        progress = replace(progress, previous=None, promoted_at=None)
        previous = None
    is_watched = previous is not None and watched > 0
    if is_watched and spec.watch and progress.failed > spec.watch.failure_limit:
        progress = replace(progress, reason=steps.ROLLED_BACK)
    if previous is not None and progress.reason:
        return _back(spec, observed, previous, progress)
    shares = {target: spec.replicas}
    if previous is not None and stays > 0:
        shares[previous] = min(observed.state(previous).wanted, spec.replicas)
    elif is_watched and previous is not None:
        shares[previous] = 0
    return _Course(
        stable=target,
        shares=shares,
        goal=target,
        phase="Complete",
        limits=compute_limits(spec, None),
        progress=progress,
        wish=target if spec.strategy == "BlueGreen" else None,
        measures=f"{target}/watch" if is_watched else None,
        lingering=frozenset({previous}) if previous is not None and stays > 0 else frozenset(),
        due_in_seconds=soonest(*(left for left in (stays, watched) if previous is not None and left > 0)),
    )


def _go_on(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> _Course:
    """The change goes on."""
    capacity = _known_capacity(spec, observed, now)
    patience = patience_left_seconds(spec, observed, now)
    limits = compute_limits(spec, capacity, is_down=patience is not None and patience <= 0)
    target = observed.state(observed.target)
    is_held = _is_held(spec, limits, target, capacity, observed.revisions)
    if not is_held and observed.stable is not None:
        progress = _advance(spec, observed, limits, progress, now)
    if progress.reason and observed.stable is not None:
        return _back(spec, observed, observed.stable, progress)
    is_open = not _may_start(spec, observed, progress)
    shares, goal = _shares(spec, observed, limits, progress, is_held=is_held, is_open=is_open)
    verifies = steps.needs_contract(spec, observed, progress) and progress.verifying_since is not None
    measures = steps.run_of(spec, progress) if spec.strategy == "Canary" and observed.stable else None
    return _Course(
        stable=observed.stable,
        shares=shares,
        goal=goal,
        phase=_phase(spec, progress, is_looking=verifies or measures is not None),
        limits=limits,
        progress=progress,
        wish=_wish(spec, observed, progress, shares),
        capacity=capacity,
        held=is_held,
        verifies=verifies,
        measures=measures,
        due_in_seconds=patience if is_held else None,
    )


def _advance(
    spec: RolloutSpec, observed: RolloutState, limits: Limits, progress: Progress, now: datetime
) -> Progress:
    progress = steps.advance(spec, observed, progress, limits.surge, now)
    if spec.strategy != "BlueGreen":
        return progress
    target = observed.state(observed.target)
    is_there = target.settled and target.serving >= spec.replicas
    return steps.preview(
        spec, progress, now, is_there=is_there and steps.is_admitted(spec, observed, progress)
    )


def _shares(
    spec: RolloutSpec,
    observed: RolloutState,
    limits: Limits,
    progress: Progress,
    *,
    is_held: bool,
    is_open: bool,
) -> tuple[dict[str, int], str | None]:
    """Return the pods that each revision shall have in the end, and which one shall have all."""
    target, stable, replicas = observed.target, observed.stable, spec.replicas
    if stable is None:
        return {target: replicas}, target
    if is_open:
        # Before the target may start, clients have to be led to enough pods that are not its own.
        return {stable: replicas}, stable
    if spec.strategy == "BlueGreen" and not limits.at_once:
        return {stable: replicas, target: 0 if is_held else replicas}, None
    if progress.paused == "Requested" and spec.strategy != "Canary":
        here = min(observed.state(target).wanted, replicas)
        if limits.at_once:
            return {one.name: one.wanted for one in observed.revisions}, None
        return {stable: replicas - here, target: here}, None
    if spec.strategy != "Canary" or steps.is_past_steps(spec, progress):
        return {target: replicas}, target
    of_stable, of_target = split(replicas, steps.current_weight(spec, progress), limits.surge)
    return {stable: of_stable, target: of_target}, None


def _wish(
    spec: RolloutSpec, observed: RolloutState, progress: Progress, shares: Mapping[str, int]
) -> str | None:
    """Return the only revision that clients shall be led to, None for all."""
    stable, target = observed.stable, observed.target
    is_admitted = steps.is_admitted(spec, observed, progress)
    if spec.strategy == "BlueGreen":
        there = observed.state(target)
        is_there = there.settled and there.serving >= spec.replicas
        # Once led over, clients stay there.
        is_over = (progress.promoted or progress.skips) and (is_there or observed.selected == target)
        return target if stable is None or (is_over and is_admitted) else stable
    if stable is None or spec.contract == "Ignore":
        return None
    if not is_admitted:
        return stable if shares or observed.state(target).occupied else None
    is_hidden = observed.selected not in (None, target)
    shown = {stable, target, observed.selected or target}
    return observed.selected if is_hidden and _is_pinned(spec, observed, shown) else None


def _may_start(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether pods of the target would get no traffic that they must not get."""
    if (
        not observed.has_service
        or observed.stable is None
        or observed.selected not in (None, observed.target)
    ):
        return True
    is_over = spec.strategy != "BlueGreen" or progress.promoted or progress.skips
    return is_over and steps.is_admitted(spec, observed, progress)


def _preview(spec: RolloutSpec, observed: RolloutState, course: _Course) -> str | None:
    """Return the revision behind the preview Service of a BlueGreen: the newest that is tried."""
    if spec.strategy != "BlueGreen":
        return None
    return observed.target if course.phase != "Aborted" else course.stable


def _phase(spec: RolloutSpec, progress: Progress, *, is_looking: bool) -> Phase:
    if progress.paused:
        return "Paused"
    if is_looking:
        return "Verifying"
    is_last = spec.strategy in ("Canary", "BlueGreen") and (progress.promoted or progress.skips)
    if is_last or (spec.strategy == "Canary" and steps.is_past_steps(spec, progress)):
        return "Promoting"
    return "Progressing"


def _weights(
    spec: RolloutSpec, observed: RolloutState, course: _Course, selector: str | None
) -> dict[str, int]:
    """Return the percentages of the traffic: a weight rises only when the pods that it needs answer."""
    fallback = course.stable or observed.target
    pods = by_pods(observed, selector, fallback)
    stable, target = observed.stable, observed.target
    is_by_steps = spec.strategy == "Canary" and course.goal is None and stable is not None
    if not is_by_steps or stable is None or stable not in pods or target not in pods or len(pods) > 2:
        return pods
    weight = steps.current_weight(spec, course.progress)
    if observed.state(target).serving < course.shares.get(target, 0):
        weight = min(weight, pods[target])
    return {stable: 100 - weight, target: weight}


def _within_deadline(spec: RolloutSpec, observed: RolloutState, course: _Course, now: datetime) -> _Course:
    """Return the course, or the way back where the target made no progress for too long."""
    target = observed.state(observed.target)
    is_there = course.goal is None and target.serving >= course.shares.get(target.name, 0)
    if course.held or course.verifies or course.phase == "Paused" or is_there:
        return course
    looks_anew = course.capacity is None and observed.capacity is not None
    remaining = seconds_left(spec, course.limits, observed, now, looks_anew=looks_anew)
    if course.progress.since and spec.steps and remaining is not None:
        since_step = spec.progress_deadline_seconds - seconds_since(course.progress.since, now)
        remaining = max(remaining, since_step)
    if remaining is None or remaining > 0:
        return replace(course, due_in_seconds=soonest(course.due_in_seconds, remaining))
    if observed.stable is None:
        return replace(course, overdue=True)
    back = _back(spec, observed, observed.stable, course.progress)
    return replace(back, overdue=True, capacity=course.capacity, limits=course.limits)


def hold(observed: RolloutState) -> Plan:
    """Return a plan that leaves everything as it is: for a spec that does not say how many pods it wants."""
    is_complete = observed.stable == observed.target
    return Plan(
        replicas={state.name: state.wanted for state in observed.revisions},
        weights={observed.stable or observed.target: 100},
        stable=observed.stable,
        phase="Complete" if is_complete else "Aborted" if observed.aborted else "Progressing",
        capacity=None if is_complete else observed.capacity,
        selector=observed.selected,
        progress=observed.progress,
    )


def _is_complete(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether clients are led to enough pods of the target, after all that is to happen before."""
    target = observed.state(observed.target)
    if spec.replicas == 0 or observed.stable is None:
        return spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)
    is_due = steps.is_past_steps(spec, progress) if spec.strategy == "Canary" else True
    if spec.strategy == "BlueGreen":
        is_due = observed.selected == target.name and (progress.promoted or progress.skips)
        is_due = is_due or not observed.has_service
    return (
        is_due
        and progress.paused != "Requested"
        and target.settled
        and target.serving >= spec.replicas
        and observed.leads_to(target.name)
        and steps.is_admitted(spec, observed, progress)
    )


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
    spec: RolloutSpec,
    limits: Limits,
    target: RevisionState,
    capacity: Capacity | None,
    states: Iterable[RevisionState],
) -> bool:
    """Whether no pod of the target has room, and none of the others may go; BlueGreen needs room for all."""
    missing = capacity.missing if capacity else 0
    return (
        _leaves_no_way(limits)
        and (target.wanted <= missing or spec.strategy == "BlueGreen")
        and any(state.wanted for state in states if state.name != target.name)
    )


def _kept(observed: RolloutState, course: _Course) -> set[str | None]:
    """Return the revisions whose Deployments stay without pods.

    The age of a target's Deployment is why it is given up: it stays until that has been recorded.
    """
    kept = {*course.shares, course.stable}
    return kept if observed.aborted and observed.stable is not None else {*kept, observed.target}


def _without_finished(
    replicas: dict[str, int], states: Iterable[RevisionState], *, keep: set[str | None]
) -> dict[str, int]:
    """Leave out revisions of which no pod is left and none is wanted.

    A pod that terminates is one that is left: without its Deployment the disruption controller cannot tell
    how many pods are wanted, and allows no eviction at all.
    """
    empty = {state.name for state in states if state.settled and state.occupied == state.terminating == 0}
    return {name: count for name, count in replicas.items() if name in keep or count > 0 or name not in empty}
