"""Canary and blue-green in a cluster that has as many GPUs as pods run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.explain.rollout.test_room import Full

CANARY = {"strategy": "Canary", "canary": {"steps": [{"setWeight": 25}, {"pause": {"durationSeconds": 5}}]}}


def run_to_rest(world: Full) -> int:
    """Let time pass until nothing more happens; the fewest pods that clients found meanwhile."""
    fewest, still = world.gpus, 0
    while still < 3:
        decision = world.step()
        available = {name: one.available_replicas for name, one in world.deployments().items()}
        selected = world._led_to()[0].get("modelservice.dev/revision")
        fewest = min(fewest, sum(count for name, count in available.items() if selected in (None, name)))
        still = 0 if world.writes else still + 1
        world.wait(min(decision.requeue_after_seconds or 1, 30))
    return fewest


@pytest.mark.parametrize("replicas", [2, 4])
def test_canary_without_a_spare_place_takes_one_pod_after_the_other(replicas: int) -> None:
    world = Full(replicas, **CANARY)
    fewest = run_to_rest(world)

    assert world.replicas() == {world.new: replicas}
    assert world.condition("Ready")["status"] == "True"
    assert fewest == replicas - 1


@pytest.mark.parametrize(("replicas", "rollout"), [(1, CANARY), (2, {"strategy": "BlueGreen"})])
def test_change_that_needs_more_room_than_there_is_leaves_nothing_behind_that_waits(
    replicas: int, rollout: dict[str, Any]
) -> None:
    world = Full(replicas, **rollout)
    fewest = run_to_rest(world)

    assert world.replicas() == {world.old: replicas, world.new: 0}
    assert fewest == replicas
    ready = world.condition("Ready")
    assert ready["reason"] == "InsufficientCapacity"
    assert "allowDowntime" in ready["message"]
    assert ("2 more pods, or take another strategy" in ready["message"]) == (replicas == 2)
    world.edit(rollout={**rollout, "allowDowntime": True})
    run_to_rest(world)
    assert world.replicas() == {world.new: replicas}
