from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.cli.rollout.statuses import NEW, OLD, facts_with, rollout
from tests.unit.cli.rollout.worlds import facts_of, make_world
from tests.unit.operator.builders import model

from modelservice_cli.rollout.facts import counts_agree


def shares(old: int, new: int) -> list[dict[str, Any]]:
    return [{"revision": OLD, "actual": old}, {"revision": NEW, "actual": new}]


ALL, STABLE_ONLY = "modelservice.dev/name=spam", f"modelservice.dev/name=spam,modelservice.dev/revision={OLD}"


@pytest.mark.parametrize(
    ("available", "status", "agree"),
    [
        (1, {"selector": ALL}, True),
        (1, {}, True),
        (1, {"availableReplicas": 3}, False),
        (1, {"readyReplicas": 3}, False),
        # As many pods as before, of other revisions.
        (2, {"selector": ALL, "traffic": shares(75, 25)}, False),
        # Clients are led to the old revision: the new one's pods are not counted.
        (
            1,
            {"selector": STABLE_ONLY, "readyReplicas": 3, "availableReplicas": 3, "traffic": shares(100, 0)},
            True,
        ),
        (1, {"selector": STABLE_ONLY, "traffic": shares(100, 0)}, False),
        (4, {"traffic": shares(100, 0)}, False),
    ],
)
def test_counts_agree_where_the_operator_has_seen_these_pods(
    available: int, status: dict[str, Any], agree: bool
) -> None:
    assert counts_agree(facts_with(rollout(), available=available, **status)) is agree


def test_counts_that_nobody_may_read_agree() -> None:
    assert counts_agree(replace(facts_with(rollout(), availableReplicas=9), deployments=None))


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate", "BlueGreen"])
def test_counts_agree_with_what_the_operator_writes(strategy: str) -> None:
    """At every look of a change right after the operator's own."""
    world = make_world(1, replicas=3, rollout={"strategy": strategy})
    world.edit(model=model(2))
    for _ in range(20):
        world.reconcile()
        assert counts_agree(facts_of(world))
        world.run_controllers()
    assert world.condition("Ready")["status"] == "True"
