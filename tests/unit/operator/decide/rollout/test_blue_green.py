"""A whole second set of pods, a preview, one switch, and old pods that linger."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.operator.decide.rollout.changes import begin_change, make_blue_green, pods_of, progress_of
from tests.unit.operator.decide.rollout.settling import settle, work

from modelservice_operator.decide.rollout.model import SetWeight, Wait

BY_HAND = make_blue_green(auto_promote=False)


def test_all_new_pods_come_beside_the_old_ones_behind_the_preview() -> None:
    fleet = begin_change(BY_HAND)

    result = work(fleet)

    assert (result.phase, progress_of(fleet).paused) == ("Paused", "AwaitingPromotion")
    assert (pods_of(fleet), result.selector, result.preview) == ({"a": 2, "b": 2}, "a", "b")
    assert result.weights == {"a": 100}


def test_switch_waits_until_all_new_pods_answer() -> None:
    fleet = begin_change(make_blue_green())
    for _ in range(3):
        fleet.operate()
        fleet.see()
        fleet.sync("b") if "b" in fleet.deployments else None
    fleet.start("b")
    fleet.ask("promote")

    assert fleet.operate().selector == "a"

    assert settle(fleet).phase == "Complete"
    assert fleet.seen == "b"


def test_preview_lasts_as_long_as_it_says() -> None:
    fleet = begin_change(make_blue_green(preview_seconds=30))

    result = work(fleet)
    assert (result.phase, result.requeue_after_seconds, fleet.seen) == ("Paused", 30, "a")

    fleet.wait(30)
    assert (work(fleet).phase, fleet.seen) == ("Complete", "b")


def test_old_pods_linger_after_the_switch() -> None:
    fleet = begin_change(make_blue_green(scale_down_delay_seconds=60))

    result = work(fleet)
    assert (result.phase, result.lingering, result.requeue_after_seconds) == ("Complete", {"a"}, 60)
    assert (pods_of(fleet), result.weights, result.selector) == ({"a": 2, "b": 2}, {"b": 100}, "b")

    fleet.wait(60)
    assert (work(fleet).phase, fleet.wanted()) == ("Complete", {"b": 2})


def test_lingering_pods_are_no_more_than_are_wanted() -> None:
    fleet = begin_change(make_blue_green(replicas=3, scale_down_delay_seconds=600))
    work(fleet)
    fleet.spec = replace(fleet.spec, replicas=1)
    work(fleet)
    assert pods_of(fleet) == {"a": 1, "b": 1}

    fleet.spec = replace(fleet.spec, replicas=2)
    work(fleet)
    assert pods_of(fleet) == {"a": 1, "b": 2}


def test_pause_holds_up_a_switch_that_was_asked_for_too_early() -> None:
    fleet = begin_change(BY_HAND)
    fleet.ask("promote")
    fleet.operate()
    fleet.ask("pause")

    assert (work(fleet).phase, fleet.seen, pods_of(fleet)) == ("Paused", "a", {"a": 2, "b": 2})


def test_lingering_pods_go_for_the_next_change() -> None:
    fleet = begin_change(replace(BY_HAND, scale_down_delay_seconds=600))
    work(fleet)
    fleet.ask("promote")
    work(fleet)
    fleet.head_for("c")

    work(fleet)

    assert pods_of(fleet) == {"b": 2, "c": 2}


def test_lost_service_promotes_nothing() -> None:
    fleet = begin_change(BY_HAND)
    work(fleet)
    fleet.lose_service()

    assert (work(fleet).phase, fleet.stable, fleet.seen) == ("Paused", "a", "a")


def test_preview_goes_back_once_after_an_abort_and_stays() -> None:
    fleet = begin_change(BY_HAND)
    work(fleet)
    fleet.ask("abort")

    previews = []
    for _ in range(10):
        previews.append(fleet.operate().preview)
        fleet.advance()
        fleet.wait(60)

    assert previews == ["a"] * 10
    assert fleet.wanted() == {"a": 2}


def test_target_that_breaks_after_the_switch_gives_way_at_its_deadline() -> None:
    fleet = begin_change(make_blue_green())
    while fleet.seen != "b":
        fleet.operate()
        fleet.advance()
    fleet.broken.add("b")
    fleet.fail("b")
    fleet.fail("b")

    assert settle(fleet).phase == "Aborted"
    assert (fleet.seen, fleet.wanted()) == ("a", {"a": 2})


def test_pod_that_breaks_after_a_long_preview_gets_a_deadline_of_its_own() -> None:
    fleet = begin_change(BY_HAND)
    work(fleet)
    fleet.wait(86_400)
    fleet.broken.add("b")
    fleet.fail("b")

    assert work(fleet).phase == "Progressing"
    fleet.wait(300)
    fleet.broken.clear()
    assert work(fleet).phase == "Paused"


def test_change_of_the_strategy_ends_a_wait_that_it_does_not_know() -> None:
    fleet = begin_change(BY_HAND)
    work(fleet)
    fleet.spec = replace(BY_HAND, strategy="RollingUpdate")

    assert settle(fleet).phase == "Complete"


def test_change_of_the_strategy_to_a_canary_begins_its_steps() -> None:
    fleet = begin_change(BY_HAND)
    work(fleet)
    fleet.spec = replace(BY_HAND, strategy="Canary", steps=(SetWeight(50), Wait()), steps_hash="new")

    assert (work(fleet).phase, progress_of(fleet).paused) == ("Paused", "PauseStep")
    assert pods_of(fleet) == {"a": 1, "b": 1}


def test_without_room_for_a_second_set_the_change_is_held() -> None:
    fleet = begin_change(make_blue_green(), places=2)

    result = work(fleet)
    while not result.held:
        assert result.requeue_after_seconds
        fleet.wait(result.requeue_after_seconds)
        result = work(fleet)

    assert (result.held, pods_of(fleet), fleet.wanted()) == (True, {"a": 2}, {"a": 2, "b": 0})


def test_without_room_for_a_second_set_the_old_one_goes_first_where_that_is_allowed() -> None:
    fleet = begin_change(make_blue_green(allow_downtime=True), places=2)

    assert settle(fleet).phase == "Complete"
    assert pods_of(fleet) == {"b": 2}
