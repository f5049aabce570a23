"""Two Services that do not agree, as an operator leaves them that ends between two writes, or a person."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.operator.builders import World, model

from modelservice_operator.facts import labels
from modelservice_operator.facts.observed import ServiceChild


def lead_to(world: World, name: str, revision: str | None) -> None:
    """The Service leads to one revision alone, or to all."""
    child = world.children["Service", name]
    assert isinstance(child, ServiceChild)
    selector = {labels.NAME: "spam"} | ({labels.REVISION: revision} if revision else {})
    world.children["Service", name] = msgspec.structs.replace(child, selector=selector, fingerprint="other")


@pytest.mark.parametrize("open_one", ["spam", "spam-pods"])
@pytest.mark.parametrize("before", [{}, {"strategy": "BlueGreen", "blueGreen": {"autoPromote": False}}])
def test_no_pod_goes_that_clients_of_one_of_two_services_still_need(
    before: dict[str, Any], open_one: str
) -> None:
    world = World(replicas=3, model=model(1), rollout={"contract": "Ignore", **before})
    world.settle()
    old = str(world.status["stableRevision"])
    world.edit(model=model(2))
    world.reconcile()
    world.run_controllers()
    closed = "spam-pods" if open_one == "spam" else "spam"
    lead_to(world, open_one, None)
    lead_to(world, closed, old)
    world.edit(rollout={"contract": "Ignore"})
    world._reconcile_once()
    assert world.replicas()[old] == 3, f"{closed} led to these alone when they were to go"

    world.settle()
    assert list(world.replicas().values()) == [3]
    assert world.status["stableRevision"] != old


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_name_of_no_revision_that_a_person_wrote_costs_no_pod(steps: int) -> None:
    world = World(replicas=3, model=model(1), rollout={"contract": "Ignore"})
    world.settle()
    world.edit(model=model(2))
    for _ in range(steps):
        world.reconcile()
        world.run_controllers()
    world.edit(model=model(3))
    world.reconcile()
    before = world.replicas()
    assert len(before) == 3, "also the revision in between, which clients are not to find"
    for name in ("spam", "spam-pods"):
        lead_to(world, name, "nobody")
    available = {name: one.available_replicas for name, one in world.deployments().items()}
    world._reconcile_once()

    assert all(world.replicas()[name] >= min(before[name], pods) for name, pods in available.items())
    for name in ("spam", "spam-pods"):
        service = world.children["Service", name]
        assert isinstance(service, ServiceChild)
        assert service.selector.get(labels.REVISION) != "nobody"
    world.settle()
    assert list(world.replicas().values()) == [3]


def test_recreate_that_an_operator_began_that_hid_nothing_stops_no_new_pod() -> None:
    world = World(replicas=2, model=model(1), rollout={"strategy": "Recreate"})
    world.settle()
    world.edit(model=model(2))
    for _ in range(6):
        world.reconcile()
        new = str(world.status["targetRevision"])
        if world.replicas().get(new):
            break
        world.run_controllers()
    assert world.replicas()[new] == 2
    for name in ("spam", "spam-pods"):
        lead_to(world, name, None)
    for _ in range(3):
        world.reconcile()
        assert ("Deployment", f"spam-{new}") not in world.writes
        assert world.replicas()[new] == 2

    world.settle()
    assert world.replicas() == {new: 2}
