"""Where a rollout stands, and what it heads for: pods of each revision, and whom clients find. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from modelservice_operator.decide.rollout import steps
from modelservice_operator.decide.rollout.room.capacity import is_held, known_capacity
from modelservice_operator.decide.rollout.room.deadlines import (
    patience_left_seconds,
    seconds_left,
    seconds_since,
    soonest,
)
from modelservice_operator.decide.rollout.room.limits import Limits, compute_limits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.decide.rollout.model import (
        Capacity,
        Phase,
        Progress,
        RolloutSpec,
        RolloutState,
    )


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rollout stands, and with it which revision shall have how many pods within which limits."""

    stable: str | None
    shares: Mapping[str, int]
    goal: str | None
    phase: Phase
    limits: Limits
    progress: Progress
    wish: str | None = None
    """The only revision that clients shall be led to, None for all."""
    may_stand_in: bool = True
    """Whether another revision will do for the one that clients shall be led to."""
    weight: int = 100
    """Percent of the traffic that the target shall get."""
    capacity: Capacity | None = None
    held: bool = False
    overdue: bool = False
    evaluates: bool = False
    verifies: bool = False
    measures: str | None = None
    lingering: frozenset[str] = frozenset()
    due_in_seconds: float | None = None
    is_admitted: bool = False
    """Whether the target may get traffic."""


def set_course(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> Course:
    """Return where the rollout stands by what is recorded of it, and what a person asks for.

    What the course finds out beyond that (a step is reached, a wait is over) is recorded first and gone by
    next time: after pods have moved, nobody could see any more why, were the operator killed in between.
    """
    if observed.stable == observed.target:
        return _after_the_change(spec, observed, progress, now)
    bar = steps.find_bar(spec, observed, progress)
    if bar is not None and not progress.reason:
        progress = replace(progress, reason=bar)
    if observed.stable is not None and (observed.aborted or progress.reason):
        return _back(spec, observed, observed.stable, progress)
    if progress.reason:
        return _stopped(spec, observed, progress)
    if _is_complete(spec, observed, progress):
        return _completed(spec, observed, progress, now)
    course = _go_on(spec, observed, progress, now)
    return _within_deadline(spec, observed, course, now)


def _back(spec: RolloutSpec, observed: RolloutState, stable: str, progress: Progress) -> Course:
    """The target was given up: stable serves on, or again."""
    limits = compute_limits(spec, observed.capacity)
    return Course(
        stable=stable,
        shares={stable: spec.replicas},
        goal=stable,
        phase="Aborted",
        limits=limits,
        progress=replace(progress, paused=None, paused_since=None, short_since=None),
        wish=stable if spec.strategy == "BlueGreen" or _hides_on_the_way_back(observed, stable) else None,
        may_stand_in=False,
        capacity=observed.capacity,
    )


def _stopped(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> Course:
    """The target was given up, and nothing has served before it: it gets no pod."""
    return Course(
        stable=None,
        shares={observed.target: 0},
        goal=observed.target,
        phase="Aborted",
        limits=compute_limits(spec, None),
        progress=replace(progress, paused=None, paused_since=None, short_since=None),
        may_stand_in=False,
    )


def _hides_on_the_way_back(observed: RolloutState, stable: str) -> bool:
    """Whether there are pods of the target still; others are hidden on only where they are already."""
    is_hidden = observed.selected == stable and _has_strangers(observed, {stable})
    return is_hidden or observed.state(observed.target).occupied > 0


def _has_strangers(observed: RolloutState, admitted: set[str]) -> bool:
    """Whether there are pods that must get no traffic, or of which nobody knows any more whether they may."""
    return any(one.occupied and one.name not in admitted for one in observed.revisions)


def _keep_hidden(observed: RolloutState, proven: str, admitted: set[str]) -> str | None:
    """Return the only revision that clients shall be led to while others have to be hidden, None for all."""
    is_open = observed.has_service and observed.selected is None and not observed.named
    shown = {*admitted, observed.selected or proven}
    return (observed.selected or proven) if not is_open and _has_strangers(observed, shown) else None


def _completed(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> Course:
    """The target becomes the stable revision."""
    done = replace(
        progress,
        index=len(spec.steps),
        since=None,
        short_since=None,
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


def _after_the_change(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> Course:
    """The target is the stable revision; the one before it may have to stay for a while, or to come back."""
    target, previous = observed.target, progress.previous
    age = seconds_since(progress.promoted_at, now) if progress.promoted_at else 0.0
    stays = spec.scale_down_delay_seconds - age if spec.strategy == "BlueGreen" else 0.0
    watched = spec.rollback_window_seconds - age if spec.watch else 0.0
    is_worse = spec.watch is not None and progress.failed > spec.watch.failure_limit
    if is_worse and spec.rollback_window_seconds and not progress.reason:
        progress = replace(progress, reason=steps.ROLLED_BACK)
    if previous is not None and progress.reason:
        # Also when the window is over by now: it was not, when that was measured.
        return _back(spec, observed, previous, progress)
    if previous is None or max(stays, watched) <= 0:
        if previous is not None or progress.promoted_at is not None:
            progress = replace(progress, previous=None, promoted_at=None)
        previous = None
    is_watched = previous is not None and watched > 0
    shares = {target: spec.replicas}
    if previous is not None and stays > 0:
        shares[previous] = min(observed.state(previous).wanted, spec.replicas)
    elif is_watched and previous is not None:
        shares[previous] = 0
    return Course(
        stable=target,
        shares=shares,
        goal=target,
        phase="Complete",
        limits=compute_limits(spec, None),
        progress=progress,
        wish=target if spec.strategy == "BlueGreen" else _keep_hidden(observed, target, {target}),
        measures=f"{target}/watch" if is_watched else None,
        lingering=frozenset({previous}) if previous is not None and stays > 0 else frozenset(),
        due_in_seconds=soonest(*(left for left in (stays, watched) if previous is not None and left > 0)),
    )


def _go_on(spec: RolloutSpec, observed: RolloutState, recorded: Progress, now: datetime) -> Course:
    """The change goes on."""
    capacity = known_capacity(spec, observed, now)
    patience = patience_left_seconds(spec, observed, now)
    limits = compute_limits(spec, capacity, is_down=patience is not None and patience <= 0)
    target = observed.state(observed.target)
    held = is_held(spec, limits, target, capacity, observed.revisions)
    progress = steps.verify(spec, observed, recorded, now)
    evaluates = steps.needs_evaluation(spec, observed, progress)
    if not held and not evaluates and observed.stable is not None:
        progress = _advance(spec, observed, limits, progress, now)
    if progress.reason and observed.stable is not None:
        return _back(spec, observed, observed.stable, progress)
    shares, goal = _shares(spec, observed, limits, recorded, held=held)
    verifies = steps.needs_contract(spec, observed, progress) and progress.verifying_since is not None
    is_by_steps = spec.strategy == "Canary" and observed.stable is not None and not evaluates
    measures = steps.run_of(spec, progress) if is_by_steps else None
    return Course(
        stable=observed.stable,
        shares=shares,
        goal=goal,
        weight=steps.current_weight(spec, recorded),
        phase=_phase(spec, progress, is_looking=evaluates or verifies or measures is not None),
        limits=limits,
        progress=progress,
        wish=_wish(spec, observed, recorded),
        capacity=capacity,
        held=held,
        is_admitted=steps.is_admitted(spec, observed, recorded),
        evaluates=evaluates,
        verifies=verifies,
        measures=measures,
        due_in_seconds=patience if held else None,
    )


def _advance(
    spec: RolloutSpec, observed: RolloutState, limits: Limits, progress: Progress, now: datetime
) -> Progress:
    progress = steps.look_at_stable(spec, observed, progress, now)
    if spec.strategy == "Canary":
        return steps.advance(spec, observed, progress, limits.surge, now)
    if spec.strategy != "BlueGreen":
        return steps.go_on(progress)
    target = observed.state(observed.target)
    is_there = spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)
    return steps.preview(
        spec, progress, now, is_there=is_there and steps.is_admitted(spec, observed, progress)
    )


def _shares(
    spec: RolloutSpec,
    observed: RolloutState,
    limits: Limits,
    progress: Progress,
    *,
    held: bool,
) -> tuple[dict[str, int], str | None]:
    """Return the pods that each revision shall have in the end, and which one shall have all."""
    target, stable, replicas = observed.target, observed.stable, spec.replicas
    as_they_are = {one.name: one.wanted for one in observed.revisions}
    if steps.needs_evaluation(spec, observed, progress):
        return _before_evaluation(spec, observed, limits)
    if stable is None:
        return {target: replicas}, target
    if not _may_start(spec, observed, progress):
        if limits.at_once and observed.state(target).wanted:
            # It was started before anybody asked for a contract: clients are led away from it first.
            return as_they_are, None
        # Before the target may start, clients have to be led to enough pods that are not its own.
        return {stable: replicas, target: 0}, stable
    if spec.strategy == "BlueGreen" and not limits.at_once:
        return {stable: replicas, target: 0 if held else replicas}, None
    is_last = spec.strategy != "Canary" or steps.is_past_steps(spec, progress)
    if is_last and progress.paused == "Requested":
        here = min(observed.state(target).wanted, replicas)
        if limits.at_once:
            return as_they_are, None
        return {stable: replicas - here, target: here}, None
    if is_last:
        return {target: replicas}, target
    of_stable, of_target = steps.split_by(spec, replicas, steps.current_weight(spec, progress), limits.surge)
    return {stable: of_stable, target: of_target}, None


def _before_evaluation(
    spec: RolloutSpec, observed: RolloutState, limits: Limits
) -> tuple[dict[str, int], str | None]:
    """Return the same while nobody knows whether the target is good enough: no pod of it, if that can be.

    Where all pods change at once, it has some that were started before anybody asked: those stay.
    """
    target, stable = observed.target, observed.stable
    if stable is None:
        return {target: 0}, target
    if limits.at_once and observed.state(target).wanted:
        return {one.name: one.wanted for one in observed.revisions}, None
    return {stable: spec.replicas, target: 0}, stable


def _wish(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> str | None:
    """Return the only revision that clients shall be led to, None for all."""
    stable, target = observed.stable, observed.target
    is_admitted = steps.is_admitted(spec, observed, progress)
    if spec.strategy == "BlueGreen":
        there = observed.state(target)
        is_there = there.settled and there.serving >= spec.replicas
        # Once led over, clients stay there.
        is_over = observed.selected == target or (is_there and progress.paused != "Requested")
        may_go = is_over and is_admitted and (progress.promoted or progress.skips)
        return target if stable is None or may_go else stable
    if stable is None:
        return None
    is_open = is_admitted and not steps.is_only_shown(spec, progress)
    return _keep_hidden(observed, stable, {stable, target}) if is_open else stable


def _may_start(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether pods of the target would get no traffic that they must not get."""
    if (
        not observed.has_service
        or observed.stable is None
        or observed.selected not in (None, observed.target)
    ):
        return True
    is_over = spec.strategy != "BlueGreen" or progress.promoted or progress.skips
    if steps.is_only_shown(spec, progress) and not observed.state(observed.target).occupied:
        return False
    return is_over and steps.is_admitted(spec, observed, progress)


def _phase(spec: RolloutSpec, progress: Progress, *, is_looking: bool) -> Phase:
    if progress.paused:
        return "Paused"
    if is_looking:
        return "Verifying"
    is_last = spec.strategy in ("Canary", "BlueGreen") and (progress.promoted or progress.skips)
    if is_last or (spec.strategy == "Canary" and steps.is_past_steps(spec, progress)):
        return "Promoting"
    return "Progressing"


def _within_deadline(spec: RolloutSpec, observed: RolloutState, course: Course, now: datetime) -> Course:
    """Return the course, or the way back where the target made no progress for too long."""
    target = observed.state(observed.target)
    is_there = course.goal is None and target.serving >= course.shares.get(target.name, 0)
    is_looked_at = course.evaluates or course.verifies
    if course.held or is_looked_at or course.phase == "Paused" or is_there:
        return replace(course, progress=replace(course.progress, short_since=None))
    short_since = course.progress.short_since or now
    course = replace(course, progress=replace(course.progress, short_since=short_since))
    looks_anew = course.capacity is None and observed.capacity is not None
    begun_at = max(short_since, now) if looks_anew else short_since
    remaining = seconds_left(spec, course.limits, observed, now, begun_at=begun_at)
    if remaining is None or remaining > 0:
        return replace(course, due_in_seconds=soonest(course.due_in_seconds, remaining))
    if observed.stable is None:
        return replace(course, overdue=True)
    back = _back(spec, observed, observed.stable, course.progress)
    return replace(back, overdue=True, capacity=course.capacity, limits=course.limits)


def _is_complete(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether clients are led to enough pods of the target, after all that is to happen before."""
    target = observed.state(observed.target)
    if steps.needs_evaluation(spec, observed, progress):
        return False
    if observed.stable is None:
        return spec.replicas == 0 or (target.settled and target.serving >= spec.replicas)
    if spec.replicas == 0:
        # No pod could show anything; but what a person holds stays held.
        return not steps.waits_for_person(spec, progress)
    is_due = steps.is_past_steps(spec, progress) if spec.strategy == "Canary" else True
    if spec.strategy == "BlueGreen":
        is_over = observed.selected == target.name or not observed.has_service
        is_due = is_over and (progress.promoted or progress.skips)
    return (
        is_due
        and progress.paused != "Requested"
        and target.settled
        and target.serving >= spec.replicas
        and observed.all_lead_to(target.name)
        and steps.is_weighed(spec, observed, 100)
        and steps.is_admitted(spec, observed, progress)
    )
