"""Steps of a canary: weights, waits, edits in the middle, and what makes them begin anew or end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.unit.operator.builders import NOW
from tests.unit.operator.decide.rollout.changes import begin_change, make_canary, pods_of, progress_of
from tests.unit.operator.decide.rollout.settling import settle, work

from modelservice_operator.decide.rollout.model import Analyse, RevisionState, RolloutState, SetWeight, Wait
from modelservice_operator.decide.rollout.planner import plan

HALF_AND_WAIT = (SetWeight(50), Wait())


def test_first_deployment_takes_no_steps() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT), target="a")

    assert (fleet.stable, progress_of(fleet).index, progress_of(fleet).contract) == ("a", 2, None)


def test_weight_is_made_of_pods_and_the_wait_begins_when_it_is_reached() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT))

    result = work(fleet)

    assert (result.phase, result.weights, pods_of(fleet)) == ("Paused", {"a": 50, "b": 50}, {"a": 2, "b": 2})
    assert (progress_of(fleet).index, progress_of(fleet).paused) == (1, "PauseStep")


def test_weights_rise_only_when_the_new_pods_answer_and_fall_before_stable_shrinks() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT), broken={"b"})

    result = work(fleet)
    assert (result.weights, pods_of(fleet), fleet.wanted()) == ({"a": 100}, {"a": 4}, {"a": 4, "b": 1})

    fleet.broken.clear()
    seen = set()
    while result.phase != "Paused":
        result = fleet.operate()
        fleet.advance()
        seen.add(result.weights.get("b", 0))
    assert seen == {0, 20, 25, 50}


@pytest.mark.parametrize(("weight", "pods"), [(1, 1), (10, 1), (34, 1), (38, 2), (99, 3)])
def test_weight_that_pods_cannot_express_is_wanted_all_the_same(weight: int, pods: int) -> None:
    fleet = begin_change(make_canary(SetWeight(weight), Wait()))

    result = work(fleet)

    assert (result.weights, pods_of(fleet)) == ({"a": 100 - weight, "b": weight}, {"a": 4 - pods, "b": pods})


@pytest.mark.parametrize("weights", [(50,), (75, 25), (75, 0, 50)])
def test_weight_is_made_before_the_next_step_begins(weights: tuple[int, ...]) -> None:
    fleet = begin_change(make_canary(*(SetWeight(one) for one in weights), Wait()))
    while fleet.operate().phase != "Paused":
        fleet.advance()

    of_target = weights[-1] * 4 // 100
    assert pods_of(fleet) == {"a": 4 - of_target, "b": of_target}


def test_weight_is_not_reached_while_clients_cannot_find_its_pods() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT), contracts={"b": "Never"})

    assert (work(fleet).phase, progress_of(fleet).index, pods_of(fleet)["b"]) == ("Verifying", 0, 1)


def test_weight_is_reached_without_pods_that_scaling_adds() -> None:
    spec = make_canary(*HALF_AND_WAIT, replicas=8, contract="Ignore")
    half = (RevisionState(name=name, wanted=4, pods=4, available=2) for name in "ab")
    observed = RolloutState(target="b", stable="a", revisions=tuple(half))

    result = plan(spec, observed, NOW)

    assert result.progress
    assert result.progress.index == 1


def test_step_that_is_reached_is_recorded_before_its_pods_move() -> None:
    fleet = begin_change(make_canary(SetWeight(75), Wait(), SetWeight(0), Wait()))
    work(fleet)
    fleet.ask("resume")

    # Whatever is lost of what an operator does, there is no way back to the weight before.
    for fuse in (0, 1, 2, 0, 1, 2, 3):
        fleet.fuse = fuse
        fleet.operate()
        fleet.advance()
        assert fleet.wanted()["b"] in (3, 2, 1, 0)
    fleet.fuse = None
    assert (work(fleet).phase, progress_of(fleet).index, pods_of(fleet)) == ("Paused", 3, {"a": 4})


def test_wait_ends_by_its_time_and_the_time_of_a_pause_is_not_its_own() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Wait(60)))
    assert work(fleet).requeue_after_seconds == 60
    fleet.wait(40)
    fleet.ask("pause")
    assert work(fleet).requeue_after_seconds is None
    fleet.wait(1000)
    fleet.ask("resume")

    result = work(fleet)

    assert (result.phase, result.requeue_after_seconds) == ("Paused", 20)
    fleet.wait(20)
    assert work(fleet).phase == "Complete"


def test_wait_that_began_at_a_time_to_come_begins_now() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Wait(60)))
    work(fleet)
    fleet.wait(-3600)

    assert work(fleet).requeue_after_seconds == 60
    fleet.wait(60)
    assert work(fleet).phase == "Complete"


def test_steps_restart_for_a_newer_target() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Wait(), SetWeight(75), Wait()))
    work(fleet)
    fleet.ask("resume")
    work(fleet)
    assert (progress_of(fleet).index, pods_of(fleet)) == (3, {"a": 1, "b": 3})

    fleet.head_for("c")
    work(fleet)

    assert (progress_of(fleet).revision, progress_of(fleet).index) == ("c", 1)
    assert pods_of(fleet) == {"a": 3, "c": 1}


def test_steps_that_are_edited_begin_anew_and_forget_a_promotion() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT))
    work(fleet)
    fleet.ask("promote")
    fleet.operate()
    fleet.spec = make_canary(SetWeight(25), Wait())

    work(fleet)

    assert (progress_of(fleet).index, progress_of(fleet).promoted, pods_of(fleet)) == (
        1,
        False,
        {"a": 3, "b": 1},
    )


def test_back_to_stable_takes_no_steps() -> None:
    fleet = begin_change(make_canary(SetWeight(50), Wait(), SetWeight(75), Wait()))
    work(fleet)
    fleet.head_for("a")

    assert work(fleet).phase == "Complete"
    assert (fleet.wanted(), fleet.stable) == ({"a": 4}, "a")


def test_third_revision_in_a_canary_returns_traffic_only_as_far_as_stable_is_available() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT))
    work(fleet)
    fleet.broken.add("a")
    fleet.head_for("c")

    work(fleet)
    assert pods_of(fleet) == {"a": 2, "b": 2}
    assert not fleet.wanted()["c"]

    fleet.broken.clear()
    work(fleet)
    assert pods_of(fleet) == {"a": 2, "c": 2}


def test_candidate_pods_of_an_abandoned_step_are_removed() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT), contracts={"c": "Failed"})
    work(fleet)
    fleet.broken.add("b")
    fleet.fail("b")
    fleet.head_for("c")

    settle(fleet)

    assert fleet.wanted() == {"a": 4}


def test_unhealthy_stable_skips_steps_but_not_the_contract() -> None:
    spec = make_canary(Wait(), SetWeight(10), Wait(), contract="Enforce")
    for contract, phase in (("Passed", "Complete"), ("Failed", "Aborted")):
        fleet = begin_change(spec, contracts={"b": contract})
        work(fleet)
        fleet.broken.add("a")
        for _ in range(4):
            fleet.fail("a")

        assert settle(fleet).phase == phase
        assert fleet.stable == ("b" if contract == "Passed" else "a")


def test_unhealthy_stable_ends_a_wait_so_that_a_deadline_ends_the_change() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Wait()), broken={"b"})
    fleet.ask("pause")
    work(fleet)
    fleet.broken.add("a")
    for _ in range(4):
        fleet.fail("a")
    fleet.ask("resume")

    assert settle(fleet).phase == "Aborted"


def test_unhealthy_stable_does_not_skip_steps_in_a_moment() -> None:
    fleet = begin_change(make_canary(Wait()))
    work(fleet)
    fleet.broken.add("a")
    for _ in range(4):
        fleet.fail("a")

    result = work(fleet)
    assert (result.phase, result.requeue_after_seconds) == ("Paused", 30)

    fleet.broken.clear()
    work(fleet)
    fleet.wait(3600)
    assert work(fleet).phase == "Paused"


def test_scaling_never_starves_steps() -> None:
    fleet = begin_change(make_canary(SetWeight(50), Wait(60), SetWeight(75), Wait(60)))
    for replicas in (4, 8, 5, 7) * 6:
        fleet.spec = replace(fleet.spec, replicas=replicas)
        for _ in range(2):
            fleet.operate()
            fleet.advance()
        fleet.wait(15)

    assert fleet.stable == "b"


def test_zero_replicas_are_promoted_at_once() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT, replicas=0))

    assert (work(fleet).phase, fleet.stable) == ("Complete", "b")


def test_only_pod_gets_a_second_one_beside_it() -> None:
    fleet = begin_change(make_canary(SetWeight(10), Wait(), replicas=1))

    assert (work(fleet).weights, pods_of(fleet)) == ({"a": 90, "b": 10}, {"a": 1, "b": 1})


@pytest.mark.parametrize(("weight", "pods"), [(10, {"a": 1}), (50, {"b": 1}), (90, {"b": 1})])
def test_only_pod_without_a_surge_is_of_the_revision_that_is_closest(
    weight: int, pods: dict[str, int]
) -> None:
    fleet = begin_change(make_canary(SetWeight(weight), Wait(), replicas=1, max_surge=0))

    work(fleet)

    assert pods_of(fleet) == pods


@pytest.mark.parametrize("replicas", [2, 3, 4])
@pytest.mark.parametrize("max_surge", [1, "100%"])
def test_change_without_room_for_more_pods_ends_and_leaves_none_that_waits(
    replicas: int, max_surge: int | str
) -> None:
    spec = make_canary(SetWeight(50), Wait(1), SetWeight(75), replicas=replicas, max_surge=max_surge)
    fleet = begin_change(spec, places=replicas)

    assert settle(fleet).phase == "Complete"
    assert pods_of(fleet) == {"b": replicas}


def test_deadline_is_missed_by_pods_that_do_not_come() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT), broken={"b"})
    began = fleet.now

    result = settle(fleet)

    assert (result.phase, fleet.wanted(), fleet.aborted) == ("Aborted", {"a": 4}, {"b"})
    assert fleet.now - began == timedelta(seconds=600)


def test_deadline_of_pods_that_are_missing_begins_when_they_are() -> None:
    fleet = begin_change(make_canary(SetWeight(25), Analyse(count=100)))
    work(fleet)
    fleet.wait(3600)
    fleet.broken.add("b")
    fleet.fail("b")

    assert work(fleet).phase == "Verifying"
    fleet.wait(590)
    fleet.broken.clear()
    assert work(fleet).phase == "Verifying"


def test_deadline_does_not_run_for_pods_that_break_during_a_pause() -> None:
    fleet = begin_change(make_canary(*HALF_AND_WAIT))
    work(fleet)
    fleet.broken.add("b")
    fleet.fail("b")
    work(fleet)
    fleet.wait(86_400)

    assert work(fleet).phase == "Paused"


def test_deadline_does_not_run_during_a_pause() -> None:
    fleet = begin_change(replace(make_canary(), strategy="RollingUpdate"))
    fleet.operate()
    fleet.advance()
    fleet.operate()
    fleet.ask("pause")
    work(fleet)
    fleet.wait(86_400)
    assert work(fleet).phase == "Paused"
    fleet.ask("resume")

    assert settle(fleet).phase == "Complete"
