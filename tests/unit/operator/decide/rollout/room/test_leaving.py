"""Which pods still hold a place while they are being stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.builders import NOW, World, make_observed, make_pod, model, timestamp

from modelservice_operator.decide.rollout.room.leaving import LOST_AFTER_SECONDS, Leaving, count_leaving

if TYPE_CHECKING:
    from modelservice_operator.facts.observed import Observed


def leaving_pod(
    *, ends_in_seconds: float = 60, phase: str = "Running", name: str = "pod-1"
) -> dict[str, Any]:
    pod = make_pod("old", name, phase=phase)
    pod["metadata"]["deletionTimestamp"] = timestamp(NOW + timedelta(seconds=ends_in_seconds))
    return pod


def observe(*pods: dict[str, Any]) -> Observed:
    return make_observed({}, pods=pods)


def test_count_leaving_pods_that_are_being_deleted_count_until_they_are_lost() -> None:
    found = observe(leaving_pod(), leaving_pod(ends_in_seconds=10, name="pod-2"))

    assert count_leaving(found, {}, NOW) == Leaving(2, 10 + LOST_AFTER_SECONDS)


def test_count_leaving_pods_that_ended_or_are_lost_hold_no_place() -> None:
    lost = leaving_pod(ends_in_seconds=-LOST_AFTER_SECONDS)
    ended = leaving_pod(phase="Succeeded", name="pod-2")

    assert count_leaving(observe(lost, ended), {}, NOW) == Leaving(0)


def test_count_leaving_a_pod_that_its_deployment_counts_no_more_is_leaving_though_it_was_read_before() -> (
    None
):
    world = World(replicas=2)
    world.settle()
    revision = world.status["stableRevision"]
    found = observe(make_pod(revision), make_pod(revision, "pod-2"))

    assert count_leaving(found, world.deployments(), NOW) == Leaving(0)
    world.set_deployment(revision, replicas=1)
    assert count_leaving(found, world.deployments(), NOW) == Leaving(1)


def world_in_a_change(**spec: Any) -> tuple[World, str, str]:
    """Two replicas without a surge; the first old pod has just been told to stop."""
    world = World(replicas=2, rollout={"maxSurge": 0, "maxUnavailable": 1}, **spec)
    world.settle()
    old = world.status["stableRevision"]
    world.edit(model=model(2))
    world.reconcile()
    world.run_controllers()
    world.reconcile()
    return world, old, world.status["targetRevision"]


def test_decide_without_a_surge_the_new_pod_comes_when_the_old_one_is_gone() -> None:
    world, old, new = world_in_a_change()
    assert world.replicas() == {old: 1, new: 0}
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=1)
    world.reconcile()
    assert world.replicas() == {old: 1, new: 0}

    world.set_deployment(old, terminating_replicas=0)
    world.reconcile()

    assert world.replicas() == {old: 1, new: 1}


def test_decide_a_pod_of_a_lost_node_is_not_waited_for() -> None:
    world, old, new = world_in_a_change()
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=1)
    world.pods = (leaving_pod(),)
    decision = world.reconcile()
    assert decision.requeue_after_seconds == 60 + LOST_AFTER_SECONDS

    world.wait(60 + LOST_AFTER_SECONDS)
    world.reconcile()

    assert world.replicas() == {old: 1, new: 1}


def test_decide_where_deployments_do_not_count_leaving_pods_the_pods_tell() -> None:
    world, old, new = world_in_a_change()
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=None)
    decision = world.reconcile()
    assert decision.plan is not None
    assert decision.plan.waits_for_leaving
    # Who waits looks at pods, and is told when they change.
    assert decision.look_after_seconds is not None

    world.pods = ()
    world.reconcile()

    assert world.replicas() == {old: 1, new: 1}


@pytest.mark.parametrize(
    "rollout",
    [{"maxSurge": 0, "maxUnavailable": 1}, {"strategy": "Recreate", "contract": "Ignore"}],
    ids=["one by one", "at once"],
)
def test_decide_the_deadline_of_a_new_pod_begins_when_it_need_not_wait_any_more(rollout: Any) -> None:
    world = World(replicas=1, rollout={**rollout, "progressDeadlineSeconds": 60})
    world.settle()
    old = world.status["stableRevision"]
    world.edit(model=model(2))
    world.reconcile()
    world.run_controllers()
    world.reconcile()
    new = world.status["targetRevision"]
    world.broken.add(new)
    world.run_controllers()
    world.set_deployment(old, terminating_replicas=1)
    world.wait(300)
    world.reconcile()
    assert world.condition("Progressing")["status"] == "True", "the old pod takes its time"
    world.set_deployment(old, terminating_replicas=0)
    world.reconcile()
    world.run_controllers()
    assert world.replicas() == {old: 0, new: 1}
    world.wait(59)
    decision = world.reconcile()
    assert decision.requeue_after_seconds == 1

    world.wait(1)
    world.settle()

    assert world.condition("Ready")["reason"] == "ProgressDeadlineExceeded"
    assert world.replicas() == {old: 1}
    assert not {"startedAt", "capacity"} & world.status["rollout"].keys()
