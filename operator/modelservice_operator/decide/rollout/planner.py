"""The change from the pods of several revisions to those of one: one planner for every strategy.

1. Progress (`steps`): which step goes on, whether the target may get traffic, whether it was given up. One
   that has to be evaluated first gets no pod until it was, and no step begins. What is found out now is
   recorded first; the next step goes by the record.
2. The course (`course`): how many pods each revision shall have in the end (`shares`), and whom clients shall
   be led to.
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
   wanted, at once. Where its pods are missing for longer than the progress deadline it is given up, unless
   nothing else serves, or nothing of it may be tried (`held`).

Limits come from the spec, and from what is recorded about room in the cluster (`Capacity`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.decide.rollout import steps
from modelservice_operator.decide.rollout.course import Course, set_course
from modelservice_operator.decide.rollout.model import (
    Plan,
    RevisionState,
    RolloutSpec,
    RolloutState,
)
from modelservice_operator.decide.rollout.pods import Aim, next_replicas
from modelservice_operator.decide.rollout.room.deadlines import (
    find_probe,
    look_again_seconds,
    soonest,
)
from modelservice_operator.decide.rollout.routing import as_told, least_pods, plan_route
from modelservice_operator.decide.rollout.traffic import Reach, by_pods, choose_selector

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


def plan(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Plan:
    """Return the next step towards `spec` from what is observed.

    Guarantees: a plan never takes available pods away below `replicas - unavailable`, never lets the
    pods of all revisions rise above `replicas + surge`, leads clients to no pod of a target that may not get
    traffic, and comes to rest when nothing changes.
    """
    progress = steps.obey(steps.begin(spec, observed, now), observed, now)
    course = set_course(spec, observed, progress, now)
    limits, capacity = course.limits, course.capacity
    needed = spec.replicas - limits.unavailable
    selector = choose_selector(observed, course.wish, needed, may_stand_in=course.may_stand_in)
    route = plan_route(spec, observed, course, needed)
    aim = Aim(
        replicas=spec.replicas,
        shares=course.shares,
        goal=course.goal,
        limits=limits,
        reach=Reach(observed, selector),
        capacity=capacity,
        least=least_pods(observed, course, route, needed),
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
        evaluates=course.evaluates,
        verifies=course.verifies,
        measures=course.measures,
        lingering=course.lingering,
        fills=course.goal or observed.target,
        route=route,
        requeue_after_seconds=soonest(
            course.due_in_seconds,
            steps.due_seconds(spec, course.progress, now) if is_going_on and not course.held else None,
            look_again_seconds(capacity, probe, now, held=course.held),
            observed.routing.settles_in_seconds if observed.routing else None,
        ),
    )


def hold(observed: RolloutState, now: datetime) -> Plan:
    """Return a plan that leaves everything as it is: for a spec that does not say how many pods it wants.

    What a person asks for meanwhile is recorded, for the time after.
    """
    is_complete = observed.stable == observed.target
    return Plan(
        replicas={state.name: state.wanted for state in observed.revisions},
        weights={observed.stable or observed.target: 100},
        stable=observed.stable,
        phase="Complete" if is_complete else "Aborted" if observed.aborted else "Progressing",
        capacity=None if is_complete else observed.capacity,
        selector=observed.selected,
        progress=steps.obey(observed.progress, observed, now) if observed.progress else None,
        route=as_told(observed.routing) if observed.routing else None,
    )


def _preview(spec: RolloutSpec, observed: RolloutState, course: Course) -> str | None:
    """Return the revision behind the preview Service of a BlueGreen: the newest that is tried."""
    if spec.strategy != "BlueGreen":
        return None
    return observed.target if course.phase != "Aborted" else course.stable


def _weights(
    spec: RolloutSpec, observed: RolloutState, course: Course, selector: str | None
) -> dict[str, int]:
    """Return the percentages of the traffic: a weight rises only when the pods that it needs answer."""
    fallback = course.stable or observed.target
    pods = by_pods(observed, selector, fallback)
    if course.phase == "Aborted" and fallback in pods:
        return {fallback: 100}
    stable, target = observed.stable, observed.target
    is_by_steps = spec.strategy == "Canary" and course.goal is None and stable is not None
    if not is_by_steps or stable is None or stable not in pods or target not in pods or len(pods) > 2:
        return pods
    weight = course.weight
    if observed.state(target).serving < course.shares.get(target, 0):
        weight = min(weight, pods[target])
    return {stable: 100 - weight, target: weight}


def _kept(observed: RolloutState, course: Course) -> set[str | None]:
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
