"""Where autoscaling begins, and what is said of an autoscaler that does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.unit.operator.builders import World, model, timestamp

from modelservice_operator.work.merge_patch import merge_patch

if TYPE_CHECKING:
    from modelservice_operator.decide.decision import Decision

SCALING = {"maxReplicas": 9}


def settled_world(**spec: Any) -> World:
    world = World(**spec)
    world.settle()
    return world


def carry_out(world: World) -> Decision:
    """One reconciliation; the number that it records is there afterwards."""
    decision = world.reconcile()
    if decision.begin_with is not None:
        world.scale(decision.begin_with)
    world.run_controllers()
    return decision


def turn_on(world: World, *, by: str | None = None, **spec: Any) -> None:
    """Turn autoscaling on and leave `replicas` out: the API server fills in 1."""
    world.edit(**{"autoscaling": SCALING, "replicas": 1, **spec})
    world.write_replicas_by(by)


@pytest.mark.parametrize("by", [None, ""], ids=["server-side apply", "client-side apply"])
@pytest.mark.parametrize("minimum", [1, 2])
def test_decide_autoscaling_turned_on_begins_with_the_pods_that_run(by: str | None, minimum: int) -> None:
    world = settled_world(replicas=6)
    turn_on(world, by=by, autoscaling={**SCALING, "minReplicas": minimum})
    decision = carry_out(world)

    # There is no autoscaler before it can read the right number.
    assert (decision.begin_with, decision.replicas) == (6, 6)
    assert world.names("HorizontalPodAutoscaler") == set()

    world.settle()

    assert list(world.replicas().values()) == [6]
    assert world.names("HorizontalPodAutoscaler") == {"spam"}
    world.scale(1)
    world.settle()
    assert list(world.replicas().values()) == [minimum]


def test_decide_autoscaling_and_a_new_model_together_never_fall_below_what_ran() -> None:
    world = settled_world(replicas=6)
    turn_on(world, model=model(2))
    for _ in range(20):
        carry_out(world)
        assert sum(one.available_replicas for one in world.deployments().values()) >= 6

    assert list(world.replicas().values()) == [6]


@pytest.mark.parametrize(("surge", "expected"), [(1, 6), ("100%", 6)])
def test_decide_autoscaling_turned_on_during_a_rollout_does_not_count_its_surplus(
    surge: int | str, expected: int
) -> None:
    world = settled_world(replicas=6, rollout={"maxSurge": surge})
    world.edit(model=model(2))
    world.reconcile()
    turn_on(world)

    assert carry_out(world).begin_with == expected


def test_decide_autoscaling_begins_with_its_maximum_at_most() -> None:
    world = settled_world(replicas=20)
    turn_on(world)

    assert carry_out(world).begin_with == 9


@pytest.mark.parametrize("replicas", [0, 3])
def test_decide_autoscaling_with_another_number_in_the_spec_obeys_it(replicas: int) -> None:
    world = settled_world(replicas=6)
    world.edit(autoscaling=SCALING, replicas=replicas)

    assert carry_out(world).begin_with is None
    assert list(world.replicas().values()) == [replicas]


def test_decide_number_that_was_scaled_is_obeyed_without_an_autoscaler_too() -> None:
    world = settled_world(replicas=6)
    world.edit(autoscaling=SCALING)
    world.scale(1)

    assert carry_out(world).begin_with is None
    assert list(world.replicas().values()) == [1]


def decide_for(world: World, replicas: int) -> None:
    """What the autoscaler says of its own decision."""
    place = "HorizontalPodAutoscaler", "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], desired=replicas)


def test_decide_number_that_nobody_is_known_to_have_written_waits_for_the_autoscalers_word() -> None:
    world = settled_world(replicas=6, autoscaling=SCALING)
    decide_for(world, 6)
    world.edit(replicas=1)

    # The first look: it may have been the autoscaler, whose status is still on its way.
    decision = carry_out(world)
    assert (decision.begin_with, decision.replicas, decision.requeue_after_seconds) == (None, 6, 2.0)
    assert list(world.replicas().values()) == [6]

    # It was not.
    assert carry_out(world).begin_with == 6


def test_decide_number_that_the_autoscaler_wrote_untold_is_obeyed() -> None:
    world = settled_world(replicas=6, autoscaling=SCALING)
    decide_for(world, 6)
    world.edit(replicas=1)
    carry_out(world)
    decide_for(world, 1)
    decision = carry_out(world)

    assert (decision.begin_with, decision.requeue_after_seconds) == (None, None)
    assert list(world.replicas().values()) == [1]


@pytest.mark.parametrize(("by", "expected"), [("", 6), ("scale", None), (None, None)])
def test_decide_number_left_out_later_is_recorded_again_where_a_person_did_it(
    by: str | None, expected: int | None
) -> None:
    world = settled_world(replicas=6, autoscaling=SCALING)
    world.edit(replicas=1)
    world.write_replicas_by(by)

    assert carry_out(world).begin_with == expected
    assert world.names("HorizontalPodAutoscaler") == {"spam"}


def test_decide_surplus_of_a_rollout_is_no_number_to_begin_with() -> None:
    world = settled_world(replicas=1, autoscaling=SCALING)
    world.write_replicas_by("")
    world.edit(model=model(2))
    for _ in range(10):
        assert carry_out(world).begin_with is None


# An autoscaler that does not work

NO_REQUEST = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu "
    "in container server of Pod spam-bx5c9d7fgz-abcde"
)


def inactive_world(message: str = NO_REQUEST, **facts: Any) -> World:
    world = settled_world(replicas=2, autoscaling=SCALING)
    world.wait(300)
    condition = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "message": message,
        "lastTransitionTime": timestamp(world.now),
        **facts,
    }
    place = "HorizontalPodAutoscaler", "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], failing=(condition,))
    return world


def test_compute_status_autoscaler_that_cannot_work_is_quoted_after_a_minute() -> None:
    world = inactive_world()
    decision = world.reconcile()
    assert world.condition("Degraded")["status"] == "False"
    assert decision.requeue_after_seconds == 60.0

    world.wait(60)
    decision = world.reconcile()

    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "AutoscalingInactive")
    assert "missing request for cpu in container server of a pod" in degraded["message"]
    assert "spec.resources.requests" in degraded["message"]
    assert decision.requeue_after_seconds is None
    for kind in ("Ready", "Available"):
        assert world.condition(kind)["status"] == "True"

    place = "HorizontalPodAutoscaler", "spam"
    world.children[place] = msgspec.structs.replace(world.children[place], failing=())
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"


def test_compute_status_autoscaler_complaint_about_another_pod_changes_nothing() -> None:
    world = inactive_world()
    world.wait(61)
    world.reconcile()
    before = world.status
    place = "HorizontalPodAutoscaler", "spam"
    [condition] = world.children[place].failing  # type: ignore[attr-defined]
    other = {**condition, "message": condition["message"].replace("abcde", "fghij")}
    world.children[place] = msgspec.structs.replace(world.children[place], failing=(other,))
    world.reconcile()

    assert world.status == before


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            "unable to fetch metrics from resource metrics API: the server could not find the resource",
            "install it",
        ),
        ("no metrics returned from resource metrics API", "metrics-server"),
        (
            (
                "unable to fetch metrics from custom metrics API: no custom metrics API "
                "(custom.metrics.k8s.io) registered"
            ),
            "prometheus-adapter",
        ),
        ("no metrics returned from external metrics API", "external.metrics.k8s.io"),
        ("pods by selector are controlled by multiple HPAs: [mail/spam mail/ham]", "remove one"),
        ("a sentence of another day", ""),
    ],
)
def test_compute_status_autoscaler_sentence_is_quoted_with_what_to_do(message: str, remedy: str) -> None:
    world = inactive_world(message)
    world.wait(61)
    world.reconcile()

    assert message in world.condition("Degraded")["message"]
    assert remedy in world.condition("Degraded")["message"]


def test_compute_status_autoscaler_of_pods_that_are_not_ready_is_not_blamed() -> None:
    world = inactive_world()
    world.broken.add(world.status["stableRevision"])
    world.run_controllers()
    world.reconcile()
    world.wait(500)
    world.reconcile()

    assert world.condition("Degraded")["reason"] != "AutoscalingInactive"

    # They are ready again: the autoscaler gets its time.
    world.broken.clear()
    world.run_controllers()
    world.reconcile()
    assert world.reconcile().requeue_after_seconds == 60.0
    assert world.condition("Degraded")["status"] == "False"


@pytest.mark.parametrize(
    "facts",
    [{"reason": "ScalingDisabled"}, {"lastTransitionTime": None}],
)
def test_compute_status_autoscaler_that_is_switched_off_is_no_trouble(facts: dict[str, Any]) -> None:
    world = inactive_world(**facts)
    world.wait(500)

    assert world.reconcile().requeue_after_seconds is None
    assert world.condition("Degraded")["status"] == "False"


def test_compute_status_decision_of_the_autoscaler_is_no_business_of_the_operators_patch() -> None:
    world = settled_world(autoscaling=SCALING)
    decision = {"time": timestamp(world.now), "replicas": 1, "desired": 2, "message": "as it says"}
    world.service["status"]["autoscaler"] = decision
    before = dict(world.status)
    world.wait(60)
    world.reconcile()
    assert world.writes == []

    # With a change of its own, and with a spec that cannot be read.
    world.edit(model=model(2))
    world.reconcile()
    assert "autoscaler" not in merge_patch(before, world.status) != {}
    world.edit(autoscaling={"maxReplicas": "many"})
    world.reconcile()
    assert "autoscaler" not in merge_patch(before, world.status)
    assert world.condition("Degraded")["reason"] == "InvalidSpec"
