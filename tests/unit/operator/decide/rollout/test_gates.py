"""What a target has to show: before it gets traffic, while it gets some, and for a while afterwards."""

from __future__ import annotations

import pytest
from tests.unit.operator.decide.rollout.changes import (
    begin_change,
    make_blue_green,
    make_canary,
    pods_of,
    progress_of,
)
from tests.unit.operator.decide.rollout.settling import settle, work

from modelservice_operator.decide.rollout.model import Analyse, RolloutSpec, SetWeight, Wait

WATCHED = make_canary(
    SetWeight(50), Analyse(), watch=Analyse(failure_limit=1), rollback_window_seconds=300, replicas=2
)
EVERY_STRATEGY = (
    RolloutSpec(replicas=2, contract="Enforce"),
    RolloutSpec(replicas=2, contract="Enforce", strategy="Recreate"),
    make_canary(SetWeight(50), replicas=2),
    make_blue_green(),
)


@pytest.mark.parametrize("spec", EVERY_STRATEGY, ids=lambda spec: spec.strategy)
def test_contract_that_is_broken_ends_the_change_before_any_traffic(spec: RolloutSpec) -> None:
    fleet = begin_change(spec, contracts={"b": "Failed"})

    # That no client reaches b is checked after every write.
    result = settle(fleet)

    assert (result.phase, progress_of(fleet).reason, fleet.wanted()) == (
        "Aborted",
        "ContractBroken",
        {"a": 2},
    )
    assert "b" not in fleet.admitted


@pytest.mark.parametrize("spec", EVERY_STRATEGY, ids=lambda spec: spec.strategy)
def test_pod_that_cannot_be_asked_holds_up_a_change_for_ten_seconds(spec: RolloutSpec) -> None:
    fleet = begin_change(spec, contracts={"b": "Never"})

    result = work(fleet)
    assert (result.phase, result.verifies, result.requeue_after_seconds) == ("Verifying", True, 10)

    settle(fleet)
    assert (fleet.stable, progress_of(fleet).contract) == ("b", "Unknown")


def test_pod_that_breaks_before_it_could_be_asked_is_asked_anew() -> None:
    fleet = begin_change(make_canary(SetWeight(50)), contracts={"b": "Never"})
    work(fleet)
    fleet.wait(5)
    fleet.fail("b")
    assert fleet.operate().phase == "Progressing"
    fleet.advance()
    fleet.wait(6)

    assert (work(fleet).phase, progress_of(fleet).contract) == ("Verifying", None)


def test_contract_is_asked_anew_after_nobody_was_there_to_ask() -> None:
    fleet = begin_change(make_canary(SetWeight(50)), contracts={"b": "Never"})
    work(fleet)
    fleet.wait(3600)
    fleet.contracts["b"] = "Failed"

    assert settle(fleet).phase == "Aborted"
    assert "b" not in fleet.admitted


def test_contract_that_is_broken_is_accepted_by_who_wants_a_warning_only() -> None:
    fleet = begin_change(make_canary(SetWeight(50), contract="Warn"), contracts={"b": "Failed"})

    assert settle(fleet).phase == "Complete"


def test_promotion_does_not_skip_the_contract() -> None:
    fleet = begin_change(make_canary(Wait()), contracts={"b": "Failed"})
    work(fleet)
    fleet.ask("promote")

    assert settle(fleet).phase == "Aborted"
    assert "b" not in fleet.admitted


def test_pods_that_nobody_accepted_stay_hidden_when_the_spec_goes_back() -> None:
    fleet = begin_change(RolloutSpec(replicas=3, contract="Warn"))
    fleet.operate()
    fleet.see()
    fleet.operate()
    fleet.head_for("a")

    # That no client reaches b meanwhile is checked after every write.
    assert settle(fleet).phase == "Complete"
    assert (fleet.wanted(), fleet.written) == ({"a": 3}, None)


def test_lost_service_comes_back_hiding_what_nobody_accepted() -> None:
    fleet = begin_change(make_blue_green(contract="Enforce"), contracts={"b": "Never"})
    work(fleet)
    fleet.lose_service()

    assert fleet.operate().selector == "a"


def test_analysis_with_enough_good_measurements_goes_on() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=2), Wait()))
    assert work(fleet).measures == f"b/{fleet.spec.steps_hash}/1"

    fleet.measure("good")
    assert work(fleet).phase == "Verifying"
    fleet.measure("good")
    assert work(fleet).phase == "Paused"


def test_measurement_of_a_time_to_come_is_of_now() -> None:
    fleet = begin_change(make_canary(Analyse(count=9)))
    work(fleet)
    fleet.measure("good")
    fleet.wait(-3600)
    work(fleet)

    assert progress_of(fleet).measured_at == fleet.now


def test_measurements_of_another_run_count_for_nothing() -> None:
    fleet = begin_change(make_canary(Analyse(count=2), SetWeight(25), Analyse(count=2)))
    for _ in range(2):
        work(fleet)
        fleet.measure("good")
    work(fleet)

    assert (progress_of(fleet).index, progress_of(fleet).measured) == (2, 0)


def test_failed_measurements_beyond_the_limit_abort() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=9, failure_limit=1)))
    work(fleet)
    fleet.measure("bad")
    assert work(fleet).phase == "Verifying"
    fleet.measure("bad")

    assert work(fleet).phase == "Aborted"
    assert (progress_of(fleet).reason, fleet.wanted()) == ("AnalysisFailed", {"a": 4})


def test_inconclusive_pauses_and_never_passes() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=1, inconclusive_limit=1), Wait()))
    work(fleet)
    fleet.measure("none")
    assert work(fleet).phase == "Verifying"
    fleet.measure("none")

    assert work(fleet).phase == "Paused"
    fleet.wait(86_400)
    assert (work(fleet).phase, progress_of(fleet).paused) == ("Paused", "Inconclusive")
    assert pods_of(fleet) == {"a": 3, "b": 1}

    fleet.ask("resume")
    assert (work(fleet).phase, progress_of(fleet).index) == ("Paused", 2)


def test_unhealthy_stable_ends_an_analysis() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=99)))
    work(fleet)
    fleet.broken.add("a")
    for _ in range(4):
        fleet.fail("a")
    work(fleet)
    fleet.wait(30)

    assert work(fleet).phase == "Complete"


def test_rollback_window_keeps_the_way_back_and_then_forgets_it() -> None:
    fleet = begin_change(WATCHED)
    work(fleet)
    fleet.measure("good")

    result = work(fleet)
    assert (result.phase, result.measures, result.replicas) == ("Complete", "b/watch", {"b": 2, "a": 0})
    fleet.measure("bad")
    fleet.measure("none")

    assert settle(fleet).phase == "Complete"
    assert (fleet.wanted(), progress_of(fleet).previous) == ({"b": 2}, None)


@pytest.mark.parametrize("down_seconds", [0, 600])
def test_measurements_in_the_rollback_window_bring_the_old_revision_back(down_seconds: int) -> None:
    fleet = begin_change(WATCHED)
    work(fleet)
    fleet.measure("good")
    work(fleet)
    fleet.measure("bad")
    fleet.measure("bad")
    # What was measured in time counts, also where it is acted upon later.
    fleet.wait(down_seconds)

    result = settle(fleet)

    assert (result.phase, fleet.stable, fleet.aborted) == ("Aborted", "a", {"b"})
    assert (progress_of(fleet).reason, fleet.wanted()) == ("RolledBack", {"a": 2})
