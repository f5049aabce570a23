"""Weights at a gateway: exact at every step, pods before weights, weights before pods go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.operator.decide.rollout.changes import begin_change, make_blue_green, make_canary, pods_of
from tests.unit.operator.decide.rollout.settling import settle, work

from modelservice_operator.decide.rollout.model import RolloutSpec, SetWeight, Wait
from modelservice_operator.decide.rollout.traffic import split
from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from tests.unit.operator.decide.rollout.fleet import Fleet

WEIGHTS = st.integers(1, 99)


def make_routed(*steps: Any, **fields: Any) -> RolloutSpec:
    return make_canary(*steps, is_routed=True, **fields)


def told(fleet: Fleet) -> RoutePlan:
    assert fleet.route is not None
    return fleet.route


@given(st.lists(WEIGHTS, min_size=1, max_size=3), st.integers(1, 6), st.sampled_from([1, 2, "50%"]))
def test_every_weight_is_exact_when_its_step_is_over(
    weights: list[int], replicas: int, max_surge: int | str
) -> None:
    steps = [step for weight in weights for step in (SetWeight(weight), Wait())]
    fleet = begin_change(make_routed(*steps, replicas=replicas, max_surge=max_surge))
    for weight in weights:
        assert settle(fleet).phase == "Paused"
        assert told(fleet).weights == {"a": 100 - weight, "b": weight}
        fleet.ask("resume")
    assert settle(fleet).phase == "Complete"
    assert (told(fleet), pods_of(fleet)) == (RoutePlan(), {"b": replicas})


def test_one_percent_needs_one_pod_and_takes_none_of_the_others() -> None:
    fleet = begin_change(make_routed(SetWeight(1), Wait(), replicas=2))
    settle(fleet)

    assert (told(fleet).weights, pods_of(fleet)) == ({"a": 99, "b": 1}, {"a": 2, "b": 1})


def test_only_pod_without_a_surge_cannot_be_shared() -> None:
    fleet = begin_change(make_routed(SetWeight(10), Wait(), SetWeight(60), Wait(), replicas=1, max_surge=0))
    settle(fleet)
    assert (told(fleet).weights, pods_of(fleet)) == ({"a": 100, "b": 0}, {"a": 1})

    fleet.ask("resume")
    settle(fleet)
    assert (told(fleet).weights, pods_of(fleet)) == ({"a": 0, "b": 100}, {"b": 1})


@given(st.integers(1, 50), WEIGHTS, st.integers(1, 3))
def test_split_for_gateways_gives_each_enough_for_its_part(replicas: int, weight: int, surge: int) -> None:
    stable, target = split(replicas, weight, surge, is_routed=True)

    assert 100 * stable >= replicas * (100 - weight) or replicas == 1
    assert 100 * target >= replicas * weight
    assert stable + target <= replicas + 1


def test_gateways_lead_to_the_service_while_there_is_no_change() -> None:
    fleet = begin_change(make_routed(SetWeight(50), Wait()), target="a")
    settle(fleet)

    assert told(fleet) == RoutePlan()


def test_weight_rises_only_when_gateways_know_the_pods() -> None:
    fleet = begin_change(make_routed(SetWeight(50), Wait()))
    work(fleet)
    assert (told(fleet).weights, pods_of(fleet)) == ({"a": 100, "b": 0}, {"a": 4, "b": 1})

    fleet.wait(4)
    assert work(fleet).requeue_after_seconds == 1
    assert told(fleet).weights == {"a": 100, "b": 0}
    fleet.wait(1)
    work(fleet)
    assert told(fleet).weights == {"a": 75, "b": 25}


def test_pods_stay_until_gateways_know_that_they_get_less() -> None:
    fleet = begin_change(make_routed(SetWeight(50), Wait()))
    work(fleet)
    fleet.wait(5)
    work(fleet)
    assert (told(fleet).weights, fleet.wanted()) == ({"a": 75, "b": 25}, {"a": 4, "b": 1})

    fleet.wait(5)
    work(fleet)
    assert fleet.wanted() == {"a": 3, "b": 2}


def test_abort_takes_the_weight_at_once_where_stable_can_carry_it() -> None:
    fleet = begin_change(make_routed(SetWeight(10), Wait()))
    settle(fleet)
    fleet.ask("abort")

    fleet.operate()
    assert (told(fleet).weights, fleet.wanted()) == ({"a": 100, "b": 0}, {"a": 4, "b": 1})
    settle(fleet)
    assert (told(fleet), pods_of(fleet)) == (RoutePlan(), {"a": 4})


def test_abort_takes_the_weight_as_far_as_stable_can_carry_it() -> None:
    fleet = begin_change(make_routed(SetWeight(75), Wait()))
    settle(fleet)
    assert pods_of(fleet) == {"a": 1, "b": 3}
    fleet.ask("abort")

    seen = []
    for _ in range(20):
        fleet.operate()
        seen.append(told(fleet).weights)
        fleet.advance()
        fleet.wait(5)
    assert told(fleet) == RoutePlan()
    of_target = [weights["b"] for weights in seen if weights]
    assert of_target == sorted(of_target, reverse=True)
    assert {75, 50, 0} <= {*of_target}
    assert of_target.index(50) > 0


def test_failed_pods_of_stable_give_the_new_revision_no_more_than_its_step() -> None:
    fleet = begin_change(make_routed(SetWeight(25), Wait()))
    settle(fleet)
    fleet.broken.add("a")
    fleet.fail("a")
    fleet.fail("a")
    work(fleet)

    assert told(fleet).weights == {"a": 75, "b": 25}


def test_nothing_answers_of_stable_so_the_new_revision_gets_everything() -> None:
    fleet = begin_change(make_routed(SetWeight(25), Wait()))
    settle(fleet)
    fleet.broken.add("a")
    for _ in range(3):
        fleet.fail("a")
    fleet.operate()

    assert told(fleet).weights == {"a": 0, "b": 100}


def test_third_revision_leaves_the_second_what_stable_cannot_carry() -> None:
    fleet = begin_change(make_routed(SetWeight(50), Wait()))
    settle(fleet)
    fleet.head_for("c")
    fleet.operate()
    assert told(fleet).weights == {"a": 50, "b": 50, "c": 0}

    settle(fleet)
    assert told(fleet).weights == {"a": 50, "c": 50}


def test_testers_find_the_new_revision_when_gateways_know_it_and_never_at_rest() -> None:
    fleet = begin_change(make_routed(SetWeight(25), Wait(), is_shown=True))
    work(fleet)
    assert told(fleet).shown is None

    settle(fleet)
    assert told(fleet).shown == "b"
    fleet.ask("promote")
    settle(fleet)
    assert told(fleet) == RoutePlan()


@pytest.mark.parametrize("contract", ["Enforce", "Ignore"])
@pytest.mark.parametrize("steps", [(Wait(),), (SetWeight(0), Wait())])
def test_testers_find_one_pod_of_a_revision_that_gets_nothing_else(steps: Any, contract: str) -> None:
    spec = make_routed(*steps, SetWeight(25), Wait(), is_shown=True, contract=contract)
    fleet = begin_change(spec)
    for _ in range(20):
        fleet.operate()
        assert "b" not in fleet.deployments or fleet.written == "a", "clients of the Service find it"
        fleet.advance()
    settle(fleet)
    assert told(fleet) == RoutePlan(weights={"a": 100, "b": 0}, shown="b")
    assert pods_of(fleet) == {"a": 4, "b": 1}

    fleet.ask("resume")
    settle(fleet)
    assert (told(fleet).weights, pods_of(fleet), fleet.written) == (
        {"a": 75, "b": 25},
        {"a": 3, "b": 1},
        None,
    )


def test_testers_find_what_is_behind_the_preview() -> None:
    fleet = begin_change(make_blue_green(auto_promote=False, is_routed=True, is_shown=True))
    settle(fleet)
    assert told(fleet) == RoutePlan(shown="b")

    fleet.ask("abort")
    fleet.operate()
    assert (told(fleet), fleet.wanted()["b"]) == (RoutePlan(), 1)
    settle(fleet)
    assert fleet.wanted() == {"a": 2}


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_other_strategies_lead_to_the_service_all_the_time(strategy: Any) -> None:
    fleet = begin_change(replace(make_routed(), strategy=strategy, steps=(), steps_hash=""))
    for _ in range(20):
        fleet.operate()
        assert told(fleet) == RoutePlan()
        fleet.advance()
    assert fleet.stable == "b"


def test_strategy_that_is_edited_in_the_middle_leads_back_to_the_service() -> None:
    fleet = begin_change(make_routed(SetWeight(50), Wait()))
    settle(fleet)
    fleet.spec = replace(fleet.spec, strategy="RollingUpdate", steps=(), steps_hash="")
    fleet.operate()

    assert told(fleet) == RoutePlan()
    assert settle(fleet).phase == "Complete"
