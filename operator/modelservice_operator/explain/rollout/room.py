"""Room in the cluster for a rollout: what its pods say, put together with what is known already. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modelservice_operator.decide.change.wish import read_rollout
from modelservice_operator.decide.rollout.history import read_history
from modelservice_operator.decide.rollout.room.capacity import Shortage, next_capacity
from modelservice_operator.decide.rollout.room.leaving import count_leaving
from modelservice_operator.decide.rollout.room.limits import compute_limits
from modelservice_operator.explain.diagnose.room import find_shortage, resources_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.rollout.history import History
    from modelservice_operator.decide.rollout.model import Capacity
    from modelservice_operator.explain.diagnose.cause import Surge
    from modelservice_operator.facts.observed import DeploymentChild, Observed


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
    shortage = _find_shortage(observed, history, plan.fills or target.name, is_only=decision.replicas == 1)
    if shortage is None and observed.pods is None:
        return Room(plan.capacity)
    # A pod that waits for the end of another has no need of more room.
    waits = plan.probe is not None and bool(count_leaving(observed, history.deployments, now).pods)
    capacity = next_capacity(plan.capacity, plan.probe, None if waits else shortage, now)
    return Room(capacity, waits=waits and shortage is not None)


def describe_surge(decision: Decision, deployments: Iterable[DeploymentChild], room: Room) -> Surge:
    """Return what becomes of a pod of the surge for which there is no room."""
    plan, spec = decision.plan, decision.service.spec if decision.service else None
    if plan is None or spec is None or spec.rollout.strategy == "Recreate":
        return "None"
    if room.waits:
        return "Stopping"
    if room.capacity is not None and _is_giving_way(decision, deployments, room.capacity):
        is_only = decision.replicas == 1 and not spec.rollout.allow_downtime
        return "NeedsLeave" if is_only else "GivesWay"
    wanted = read_rollout(spec.rollout, decision.replicas)
    if compute_limits(wanted, None).surge == 0:
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
