"""A status that was written by a wrong clock: its times are in the future."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operator.builders import World, model, timestamp

from modelservice_operator.facts.text.times import parse_time


def shift(status: Any, ahead: timedelta) -> Any:
    """The same with all times so much later."""
    if isinstance(status, dict):
        return {name: shift(value, ahead) for name, value in status.items()}
    if isinstance(status, list):
        return [shift(one, ahead) for one in status]
    time = parse_time(status) if isinstance(status, str) and status.endswith("Z") else None
    return timestamp(time + ahead) if time else status


@pytest.mark.parametrize(
    "rollout", [{}, {"strategy": "Recreate"}, {"maxSurge": 0, "maxUnavailable": 1}, {"strategy": "BlueGreen"}]
)
@pytest.mark.parametrize("writes", [1, 2, 5])
def test_target_that_never_comes_is_given_up_whatever_clock_wrote_since_when(
    rollout: dict[str, Any], writes: int
) -> None:
    world = World(replicas=2, model=model(1), rollout=rollout)
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    for _ in range(writes):
        world.reconcile()
        world.broken.add(str(world.status["targetRevision"]))
        world.run_controllers()
    world.service["status"] = shift(world.status, timedelta(days=365))
    world.settle()
    world.wait(3 * 600)
    world.settle()

    assert world.replicas() == {old: 2}
    assert world.condition("Degraded")["reason"] == "ProgressDeadlineExceeded"
