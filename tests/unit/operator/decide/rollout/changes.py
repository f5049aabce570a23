"""Fleets in the middle of a change from revision a to revision b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.operator.decide.rollout.fleet import Fleet
from tests.unit.operator.decide.rollout.settling import settle

from modelservice_operator.decide.rollout.model import Progress, RolloutSpec

if TYPE_CHECKING:
    from modelservice_operator.decide.rollout.model import Step


def make_canary(*steps: Step, replicas: int = 4, **fields: Any) -> RolloutSpec:
    names = {"strategy": "Canary", "steps": steps, "steps_hash": str(steps)}
    return RolloutSpec(replicas=replicas, **{"contract": "Enforce", **names, **fields})


def make_blue_green(replicas: int = 2, **fields: Any) -> RolloutSpec:
    return RolloutSpec(replicas=replicas, **{"strategy": "BlueGreen", "contract": "Enforce", **fields})


def begin_change(spec: RolloutSpec, target: str = "b", **facts: Any) -> Fleet:
    """Return a fleet that runs revision a, and whose spec has just been changed to another one."""
    fleet = Fleet(spec, **facts)
    settle(fleet)
    fleet.head_for(target)
    return fleet


def progress_of(fleet: Fleet) -> Progress:
    assert fleet.progress is not None
    return fleet.progress


def pods_of(fleet: Fleet) -> dict[str, int]:
    """Return the pods that answer, by revision."""
    return {name: one.answering for name, one in fleet.deployments.items() if one.answering}
