"""A target that has to be evaluated before it gets a pod."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.operator.decide.rollout.changes import (
    begin_change,
    make_blue_green,
    make_canary,
    pods_of,
    progress_of,
)
from tests.unit.operator.decide.rollout.fleet import Fleet
from tests.unit.operator.decide.rollout.settling import settle, work

from modelservice_operator.decide.rollout.model import RolloutSpec, SetWeight, Wait
from modelservice_operator.decide.rollout.planner import plan

EVERY_STRATEGY = (
    RolloutSpec(replicas=2, is_evaluated=True),
    RolloutSpec(replicas=2, is_evaluated=True, strategy="Recreate"),
    make_canary(SetWeight(50), replicas=2, is_evaluated=True),
    make_blue_green(is_evaluated=True),
)
FIRST = RolloutSpec(replicas=2, is_evaluated=True)


def wait_for_evaluation(fleet: Fleet) -> None:
    """Let everything arrive but the evaluation's result."""
    for _ in range(5):
        fleet.operate()
        for name in list(fleet.deployments):
            fleet.sync(name)
            fleet.start(name, 100)
        fleet.see()


@pytest.mark.parametrize("spec", EVERY_STRATEGY, ids=lambda spec: spec.strategy)
def test_target_gets_no_pod_before_its_evaluation_was_passed(spec: RolloutSpec) -> None:
    fleet = begin_change(spec)

    wait_for_evaluation(fleet)
    assert fleet.last is not None
    assert (fleet.last.phase, fleet.last.evaluates, fleet.wanted()) == ("Verifying", True, {"a": 2, "b": 0})

    assert settle(fleet).phase == "Complete"
    assert pods_of(fleet) == {"b": 2}


@pytest.mark.parametrize("spec", EVERY_STRATEGY, ids=lambda spec: spec.strategy)
@pytest.mark.parametrize("result", ["Failed", "Inconclusive"])
def test_evaluation_that_is_not_passed_ends_the_change(spec: RolloutSpec, result: str) -> None:
    fleet = begin_change(spec, evaluations={"b": result})

    ended = settle(fleet)

    assert (ended.phase, progress_of(fleet).reason) == ("Aborted", f"Evaluation{result}")
    assert pods_of(fleet) == {"a": 2}
    assert "b" not in fleet.admitted


@pytest.mark.parametrize("result", ["Failed", "Inconclusive"])
def test_first_revision_that_does_not_pass_gets_no_pod_and_is_evaluated_anew_by_retry(result: str) -> None:
    fleet = Fleet(FIRST, evaluations={"a": result})

    assert settle(fleet).phase == "Aborted"
    assert (fleet.stable, fleet.wanted(), progress_of(fleet).reason) == (
        None,
        {"a": 0},
        f"Evaluation{result}",
    )

    fleet.evaluations["a"] = "Passed"
    fleet.ask("retry")
    assert settle(fleet).phase == "Complete"
    assert pods_of(fleet) == {"a": 2}


def test_another_revision_takes_the_place_of_a_first_one_that_did_not_pass() -> None:
    fleet = Fleet(FIRST, evaluations={"a": "Failed"})
    settle(fleet)
    fleet.head_for("b")

    assert settle(fleet).phase == "Complete"
    assert pods_of(fleet) == {"b": 2}


def test_nothing_is_waited_for_by_the_clock() -> None:
    fleet = begin_change(replace(EVERY_STRATEGY[0], progress_deadline_seconds=60))
    wait_for_evaluation(fleet)
    fleet.wait(100_000)

    result = fleet.operate()
    assert (result.phase, result.overdue, result.requeue_after_seconds) == ("Verifying", False, None)

    fleet.evaluate()
    assert settle(fleet).phase == "Complete"


def test_no_step_begins_before_the_evaluation() -> None:
    fleet = begin_change(make_canary(SetWeight(0), Wait(60), is_evaluated=True))
    wait_for_evaluation(fleet)

    assert (progress_of(fleet).index, progress_of(fleet).paused) == (0, None)


def test_promotion_does_not_skip_the_evaluation() -> None:
    fleet = begin_change(make_canary(Wait(), is_evaluated=True), evaluations={"b": "Failed"})
    fleet.operate()
    fleet.ask("promote")

    assert settle(fleet).phase == "Aborted"


def test_pause_holds_up_what_follows_and_not_the_evaluation() -> None:
    fleet = begin_change(make_canary(SetWeight(50), is_evaluated=True))
    wait_for_evaluation(fleet)
    fleet.ask("pause")

    result = fleet.operate()
    assert (result.phase, result.evaluates) == ("Paused", True)

    assert work(fleet).phase == "Paused"
    assert (progress_of(fleet).evaluation, progress_of(fleet).index) == ("Passed", 0)


@pytest.mark.parametrize("replicas", [0, 2])
@pytest.mark.parametrize("stable", [None, "a"])
def test_revision_without_replicas_is_evaluated_too(replicas: int, stable: str | None) -> None:
    fleet = Fleet(RolloutSpec(replicas=2))
    if stable:
        settle(fleet)
    fleet.spec = RolloutSpec(replicas=replicas, is_evaluated=True)
    fleet.head_for("b")
    wait_for_evaluation(fleet)
    assert fleet.stable == stable

    settle(fleet)
    assert (fleet.stable, progress_of(fleet).evaluation) == ("b", "Passed")


def test_way_back_to_a_revision_that_has_served_is_not_evaluated() -> None:
    fleet = begin_change(EVERY_STRATEGY[0])
    settle(fleet)
    fleet.head_for("a")

    served = replace(fleet.observe(), has_served=True)
    assert not plan(fleet.spec, served, fleet.now).evaluates
    assert plan(fleet.spec, fleet.observe(), fleet.now).evaluates


def test_first_pods_that_were_started_before_anybody_asked_stay() -> None:
    fleet = Fleet(RolloutSpec(replicas=2), evaluations={"a": "Failed"})
    fleet.operate()
    fleet.sync("a")
    fleet.start("a")
    fleet.spec = FIRST

    assert not fleet.operate().evaluates
    assert fleet.wanted() == {"a": 2}
