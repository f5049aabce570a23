"""Room in the cluster for a rollout: what its pods say, put together with what is known already. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_operator.decide.rollout.history import read_history
from modelservice_operator.decide.rollout.model import RolloutSpec
from modelservice_operator.decide.rollout.room.capacity import (
    Shortage,
    next_capacity,
    read_capacity,
    write_capacity,
)
from modelservice_operator.decide.rollout.room.leaving import count_leaving
from modelservice_operator.decide.rollout.room.limits import max_surge_pods
from modelservice_operator.decide.steering import write_answer
from modelservice_operator.explain.diagnose.room import find_shortage, resources_of
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.rollout.history import History
    from modelservice_operator.decide.rollout.model import Capacity
    from modelservice_operator.explain.diagnose.cause import Surge
    from modelservice_operator.facts.observed import DeploymentChild, Observed


def rollout_status(
    observed: Observed, decision: Decision, capacity: Capacity | None, now: datetime
) -> dict[str, Any] | None:
    """Return `status.rollout`, None where there is nothing to say."""
    if decision.target is None:
        return None
    answer = decision.steering.answer if decision.steering else None
    status = {
        "startedAt": _started_at(observed, decision, now),
        "capacity": write_capacity(capacity, decision.target.name) if capacity else None,
        "action": write_answer(answer) if answer else None,
    }
    return {name: value for name, value in status.items() if value is not None} or None


def _started_at(observed: Observed, decision: Decision, now: datetime) -> str | None:
    """Return when pods of the target were asked for: their deadline runs only while they need not wait."""
    plan, target, old = decision.plan, decision.target, observed.service.get("status") or {}
    if plan is None or target is None or plan.phase != "Progressing" or plan.stable is None:
        return None
    known = (old.get("rollout") or {}).get("startedAt") if old.get("targetRevision") == target.name else None
    if not plan.is_tight:
        recorded = read_capacity(old, target.name)
        looks_anew = plan.capacity is None and recorded is not None and recorded.surge is not None
        return known or (format_time(now) if looks_anew else None)
    if plan.waits_for_leaving or not plan.replicas.get(target.name):
        return None
    return known or format_time(now)


class Room(NamedTuple):
    """What is known about room; whether pods without room `wait` for the end of others, which make it."""

    capacity: Capacity | None = None
    waits: bool = False


def find_room(observed: Observed, decision: Decision, now: datetime) -> Room:
    """Return what is known about room now; without a look at the pods, what was known before."""
    plan, target = decision.plan, decision.target
    if plan is None or target is None or plan.phase == "Complete":
        return Room()
    history = read_history(observed)
    shortage = _find_shortage(observed, history, target.name, is_only=decision.replicas == 1)
    if shortage is None and observed.pods is None:
        return Room(plan.capacity)
    # A pod that waits for the end of another has no need of more room.
    waits = plan.probe is not None and bool(count_leaving(observed, history.deployments, now).pods)
    capacity = next_capacity(plan.capacity, plan.probe, None if waits else shortage, now)
    return Room(capacity, waits=waits and shortage is not None)


def describe_surge(decision: Decision, deployments: Iterable[DeploymentChild], room: Room) -> Surge:
    """Return what becomes of a pod of the surge for which there is no room."""
    plan, spec = decision.plan, decision.service.spec if decision.service else None
    if plan is None or spec is None or spec.rollout.strategy != "RollingUpdate":
        return "None"
    if room.waits:
        return "Stopping"
    if room.capacity is not None and _is_giving_way(decision, deployments, room.capacity):
        is_only = decision.replicas == 1 and not spec.rollout.allow_downtime
        return "NeedsLeave" if is_only else "GivesWay"
    if max_surge_pods(RolloutSpec(replicas=decision.replicas, max_surge=spec.rollout.max_surge)) == 0:
        return "None"
    return "Waits" if spec.rollout.capacity_policy == "Wait" else "Tried"


def _is_giving_way(decision: Decision, deployments: Iterable[DeploymentChild], capacity: Capacity) -> bool:
    """Whether a pod without room is watched, or there are more pods still than was decided to have room."""
    if capacity.surge is None or capacity.short_since is not None:
        return capacity.short_since is not None
    here = sum(max(one.spec_replicas, one.replicas) for one in deployments)
    return here > decision.replicas + capacity.surge


def describe_no_room(decision: Decision) -> str | None:
    """Return what said that there is no room for the surge, once the rollout does without."""
    capacity = decision.plan.capacity if decision.plan else None
    return capacity.message if capacity is not None and capacity.surge is not None else None


def _find_shortage(observed: Observed, history: History, target: str, *, is_only: bool) -> Shortage | None:
    deployment = history.deployments.get(target)
    if deployment is None:
        return None
    freed = frozenset(
        resource
        for name, one in history.deployments.items()
        if name != target and one.replicas
        for revision in (history.revision(name),)
        if revision is not None
        for resource in resources_of(revision.snapshot.template)
    )
    return find_shortage(observed.pods or (), observed.pod_events, deployment, freed, is_only=is_only)
