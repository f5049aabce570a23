"""What people ask of a rollout: promote, pause, resume, abort, retry; also at the wrong moment."""

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
from tests.unit.operator.decide.rollout.settling import settle, snapshot, work

from modelservice_operator.decide.rollout.model import Analyse, RolloutSpec, SetWeight, Wait

HALF = make_canary(SetWeight(50), Wait(), SetWeight(75), Wait())


def test_promote_skips_the_remaining_steps() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=99), Wait(), SetWeight(50), Wait()))
    work(fleet)
    fleet.ask("promote")

    assert settle(fleet).phase == "Complete"


def test_resume_goes_on_with_the_next_step() -> None:
    fleet = begin_change(HALF)
    work(fleet)
    fleet.ask("resume")

    assert work(fleet).phase == "Paused"
    assert (progress_of(fleet).index, pods_of(fleet)) == (3, {"a": 1, "b": 3})


def test_resume_is_obeyed_once_though_the_operator_is_killed_before_it_is_recorded() -> None:
    fleet = begin_change(HALF)
    work(fleet)
    fleet.ask("resume")
    for _ in range(4):
        fleet.fuse = 0
        fleet.operate()
        fleet.advance()
    fleet.fuse = None

    work(fleet)
    assert progress_of(fleet).index == 3


def test_pause_freezes_steps_but_not_scaling() -> None:
    fleet = begin_change(make_canary(SetWeight(50), Wait(60), SetWeight(75)))
    work(fleet)
    fleet.ask("pause")
    work(fleet)
    fleet.wait(3600)
    fleet.spec = replace(fleet.spec, replicas=8)

    assert work(fleet).phase == "Paused"
    assert (progress_of(fleet).index, pods_of(fleet)) == (1, {"a": 4, "b": 4})


@pytest.mark.parametrize(
    "spec", [RolloutSpec(replicas=4), make_canary(Wait())], ids=lambda spec: spec.strategy
)
def test_pause_freezes_a_change_that_has_no_steps_left(spec: RolloutSpec) -> None:
    fleet = begin_change(spec)
    work(fleet) if spec.steps else fleet.operate()
    fleet.ask("promote")
    while fleet.wanted().get("b", 0) < 2:
        fleet.operate()
        fleet.advance()
    fleet.ask("pause")

    result = work(fleet)

    assert (result.phase, sum(pods_of(fleet).values()), fleet.stable) == ("Paused", 4, "a")
    assert pods_of(fleet)["b"] < 4
    fleet.ask("resume")
    assert settle(fleet).phase == "Complete"


def test_pause_holds_up_the_switch_of_a_blue_green() -> None:
    fleet = begin_change(make_blue_green(preview_seconds=30))
    work(fleet)
    fleet.ask("pause")
    work(fleet)
    fleet.wait(3600)

    assert (work(fleet).phase, fleet.seen) == ("Paused", "a")


def test_abort_returns_all_traffic_and_is_never_tried_again_by_time_or_edit() -> None:
    fleet = begin_change(HALF)
    work(fleet)
    fleet.ask("abort")

    assert settle(fleet).phase == "Aborted"
    assert (fleet.wanted(), fleet.written) == ({"a": 4}, None)

    fleet.wait(86_400)
    fleet.spec = make_canary(SetWeight(10))
    settle(fleet)
    fleet.head_for("a")
    settle(fleet)
    fleet.head_for("b")
    assert settle(fleet).phase == "Aborted"
    assert fleet.created == ["a", "b"]


@pytest.mark.parametrize("replicas", [0, 1, 10])
def test_aborted_revision_stays_at_zero_when_the_autoscaler_scales(replicas: int) -> None:
    fleet = begin_change(HALF)
    work(fleet)
    fleet.ask("abort")
    settle(fleet)
    fleet.spec = replace(fleet.spec, replicas=replicas)

    assert settle(fleet).phase == "Aborted"
    assert fleet.wanted() == {"a": replicas}


def test_aborted_revision_stays_at_zero_when_a_node_of_stable_is_lost() -> None:
    fleet = begin_change(HALF)
    work(fleet)
    fleet.ask("abort")
    settle(fleet)
    for _ in range(4):
        fleet.vanish("a")
    fleet.broken.add("a")

    assert work(fleet).replicas == {"a": 4}
    fleet.wait(3600)
    assert work(fleet).replicas == {"a": 4}


def test_aborted_pods_serve_until_stable_can() -> None:
    fleet = begin_change(make_canary(SetWeight(75), Wait()))
    work(fleet)
    fleet.broken.add("a")
    fleet.ask("abort")

    work(fleet)
    assert pods_of(fleet) == {"a": 1, "b": 3}

    fleet.broken.clear()
    settle(fleet)
    assert pods_of(fleet) == {"a": 4}


def test_abort_wins_over_promote() -> None:
    fleet = begin_change(HALF, broken={"b"})
    work(fleet)
    fleet.ask("promote")
    work(fleet)
    fleet.ask("abort")
    fleet.ask("promote")

    assert settle(fleet).phase == "Aborted"
    assert fleet.stable == "a"


@pytest.mark.parametrize("verb", ["abort", "retry", "promote", "pause", "resume"])
def test_verb_without_a_change_does_nothing(verb: str) -> None:
    fleet = begin_change(HALF, target="a")
    work(fleet)
    before = snapshot(fleet)
    fleet.ask(verb)
    work(fleet)

    assert snapshot(fleet) == before


def test_promotion_of_a_first_revision_is_not_for_the_next_one() -> None:
    fleet = begin_change(HALF, target="a")
    fleet.ask("promote")
    work(fleet)
    fleet.head_for("b")

    assert work(fleet).phase == "Paused"


def test_retry_after_an_abort_starts_the_candidate_anew() -> None:
    fleet = begin_change(make_canary(SetWeight(50), Analyse()))
    work(fleet)
    fleet.measure("bad")
    assert work(fleet).phase == "Aborted"
    fleet.ask("retry")

    result = work(fleet)

    assert (result.phase, progress_of(fleet).index, progress_of(fleet).failed) == ("Verifying", 1, 0)
    assert settle(fleet).phase == "Complete"


def test_retry_of_a_target_that_was_late_gives_it_a_deadline_of_its_own() -> None:
    fleet = begin_change(HALF, broken={"b"})
    assert settle(fleet).phase == "Aborted"
    fleet.wait(86_400)
    fleet.broken.clear()
    fleet.ask("retry")

    assert work(fleet).phase == "Paused"
