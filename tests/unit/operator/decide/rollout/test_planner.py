"""One step of the planner from given facts; and where each rule about changes has its test.

| Rule | Test |
|---|---|
| pods, whom clients reach, weights, an end, a way back, in any history | `test_random_histories` |
| an operator that is killed after any write comes to the same end | `test_killed_operator` |
| weights rise after new pods answer, fall before stable shrinks | `test_canary`: `test_weights_rise_...` |
| closest ratio, ties to the canary, at least one pod each | `test_traffic`: `test_split_is_the_closest_...` |
| weights that pods cannot express | `test_canary`: `test_weight_that_pods_cannot_express_...` |
| a first deployment takes no steps | `test_canary`: `test_first_deployment_...` |
| a newer target, or other steps, begin at step 0 | `test_canary`: `test_steps_...` |
| back to stable takes no steps | `test_canary`: `test_back_to_stable_...` |
| a third revision returns traffic as far as stable can take it | `test_canary`: `test_third_revision_...` |
| candidate pods of an abandoned step are removed | `test_canary`: `test_candidate_pods_...` |
| an unhealthy stable skips steps, not the contract | `test_canary`: `test_unhealthy_stable_skips_...` |
| zero replicas are promoted | `test_canary`: `test_zero_replicas_...` |
| scaling never starves steps, a pause freezes steps alone | `test_canary`, `test_verbs`: `test_pause_...` |
| an abort returns traffic and is not tried again | `test_verbs`: `test_abort_returns_...` |
| an aborted revision stays at 0 whatever scales | `test_verbs`: `test_aborted_revision_...` |
| abort wins over promote | `test_verbs`: `test_abort_wins_...` |
| a verb without a change does nothing | `test_verbs`: `test_verb_without_...` |
| retry starts the candidate anew | `test_verbs`: `test_retry_...` |
| the preview never flips after an abort | `test_blue_green`: `test_preview_goes_back_once_...` |
| the deadline aborts, but not who makes progress | `test_canary`: `test_deadline_...` |
| inconclusive pauses and never passes | `test_gates`: `test_inconclusive_...` |
| an incompatible target gets no traffic | `test_gates`: `test_contract_...` |
| the rollback window brings the old revision back | `test_gates`: `test_measurements_in_the_...` |
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.unit.operator.builders import NOW

from modelservice_operator.decide.rollout.model import (
    Capacity,
    Plan,
    Progress,
    RevisionState,
    RolloutSpec,
    RolloutState,
    SetWeight,
    Wait,
)
from modelservice_operator.decide.rollout.planner import hold, plan
from modelservice_operator.decide.rollout.room.limits import max_surge_pods, max_unavailable_pods


def make_state(name: str, wanted: int, available: int | None = None, **facts: object) -> RevisionState:
    available = wanted if available is None else available
    return replace(RevisionState(name=name, wanted=wanted, pods=wanted, available=available), **facts)  # type: ignore[arg-type]


def step(spec: RolloutSpec, *states: RevisionState, stable: str | None = "old", **facts: object) -> Plan:
    observed = RolloutState(target="new", stable=stable, revisions=states)
    return plan(spec, replace(observed, **facts), NOW)  # type: ignore[arg-type]


def test_plan_first_deployment_gets_all_replicas_at_once() -> None:
    assert step(RolloutSpec(replicas=3), stable=None).replicas == {"new": 3}


def test_plan_new_target_gets_the_surge_and_stable_stays() -> None:
    assert step(RolloutSpec(replicas=3), make_state("old", 3)).replicas == {"new": 1, "old": 3}


def test_plan_one_new_pod_available_takes_one_old_pod() -> None:
    result = step(RolloutSpec(replicas=3), make_state("old", 3), make_state("new", 1))

    assert result.replicas == {"new": 1, "old": 2}


def test_plan_new_pod_not_available_changes_nothing() -> None:
    result = step(RolloutSpec(replicas=3), make_state("old", 3), make_state("new", 1, 0))

    assert result.replicas == {"new": 1, "old": 3}


def test_plan_no_surge_takes_an_old_pod_first() -> None:
    spec = RolloutSpec(replicas=2, max_surge=0, max_unavailable=1)

    assert step(spec, make_state("old", 2), make_state("new", 0)).replicas == {"new": 0, "old": 1}
    assert step(spec, make_state("old", 1)).replicas == {"new": 1, "old": 1}


def test_plan_all_new_pods_available_promotes_and_empties_old() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 1), make_state("new", 2))

    assert (result.stable, result.phase, result.replicas) == ("new", "Complete", {"new": 2, "old": 0})


def test_plan_old_without_pods_is_left_out() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 0), make_state("new", 2))

    assert result.replicas == {"new": 2}


def test_plan_old_whose_pods_still_stop_keeps_its_deployment() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 0, terminating=1), make_state("new", 2))

    assert result.replicas == {"new": 2, "old": 0}


def test_plan_with_a_surge_does_not_wait_for_leaving_pods() -> None:
    result = step(
        RolloutSpec(replicas=2), make_state("old", 1, terminating=1), make_state("new", 1), leaving=1
    )

    assert (result.replicas, result.waits_for_leaving) == ({"new": 2, "old": 1}, False)


@pytest.mark.parametrize("surge", [0, 1])
def test_plan_deployment_that_is_not_made_costs_no_pod_that_serves(surge: int) -> None:
    spec = RolloutSpec(replicas=2, max_surge=surge, max_unavailable="100%")

    assert step(spec, make_state("old", 2)).replicas == {"new": surge, "old": 2}


def test_plan_no_surge_waits_until_the_old_pod_is_gone() -> None:
    spec = RolloutSpec(replicas=2, max_surge=0, max_unavailable=1)

    waiting = step(spec, make_state("old", 1, terminating=1), make_state("new", 0), leaving=1)
    going_on = step(spec, make_state("old", 1), make_state("new", 0))

    assert (waiting.replicas, waiting.waits_for_leaving) == ({"new": 0, "old": 1}, True)
    assert (going_on.replicas, going_on.waits_for_leaving) == ({"new": 1, "old": 1}, False)


def test_plan_no_surge_uses_the_place_of_each_pod_that_is_gone() -> None:
    spec = RolloutSpec(replicas=4, max_surge=0, max_unavailable=2)

    result = step(spec, make_state("old", 2), make_state("new", 0), leaving=1)

    assert (result.replicas, result.waits_for_leaving) == ({"new": 1, "old": 2}, True)


def test_plan_no_surge_with_leaving_pods_that_nobody_has_counted_waits() -> None:
    spec = RolloutSpec(replicas=2, max_surge=0, max_unavailable=1)

    assert step(spec, make_state("old", 1), leaving=None).waits_for_leaving


def test_plan_scaling_up_without_a_rollout_does_not_wait_for_leaving_pods() -> None:
    spec = RolloutSpec(replicas=3, max_surge=0, max_unavailable=1)

    result = step(spec, make_state("new", 2), stable="new", leaving=1)

    assert (result.replicas, result.waits_for_leaving) == ({"new": 3}, False)


def test_plan_revision_in_between_goes_at_once() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 2), make_state("between", 1, 0))

    assert result.replicas["between"] == 0


def test_plan_revision_in_between_that_serves_stays_while_needed() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 1), make_state("between", 1))

    assert result.replicas == {"old": 1, "between": 1, "new": 1}


def test_plan_several_old_revisions_share_what_can_be_spared() -> None:
    result = step(RolloutSpec(replicas=3), make_state("old", 2), make_state("between", 2))

    assert result.replicas == {"old": 2, "between": 1, "new": 0}


def test_plan_broken_stable_does_not_block_the_fix() -> None:
    spec = RolloutSpec(replicas=2)

    assert step(spec, make_state("old", 2, 0), make_state("new", 1)).replicas["old"] == 1


def test_plan_status_out_of_date_takes_no_available_pod() -> None:
    stale = make_state("new", 1, settled=False)

    assert step(RolloutSpec(replicas=3), make_state("old", 3), stale).replicas["old"] == 3


def test_plan_pods_about_to_be_removed_do_not_count_as_available() -> None:
    going = make_state("old", 1, 3, pods=3)

    assert step(RolloutSpec(replicas=3), going, make_state("between", 2)).replicas["between"] == 2


def test_plan_zero_replicas_promotes_at_once() -> None:
    result = step(RolloutSpec(replicas=0), make_state("old", 2))

    assert (result.stable, result.replicas) == ("new", {"new": 0, "old": 0})


def test_plan_deadline_passed_fills_stable_and_empties_target() -> None:
    result = step(
        RolloutSpec(replicas=2, progress_deadline_seconds=60),
        make_state("old", 2),
        make_state("new", 1, 0),
        started_at=NOW - timedelta(seconds=60),
    )

    assert (result.phase, result.stable, result.replicas) == ("Aborted", "old", {"old": 2, "new": 0})
    assert result.weights == {"old": 100}


def test_plan_target_given_up_keeps_its_empty_deployment_until_that_is_recorded() -> None:
    overdue = {"started_at": NOW - timedelta(seconds=61)}
    spec, states = (
        RolloutSpec(replicas=1, progress_deadline_seconds=60),
        (make_state("old", 1), make_state("new", 0)),
    )

    decided = step(spec, *states, **overdue)
    recorded = step(spec, *states, **overdue, aborted=True)

    assert (decided.phase, decided.replicas) == ("Aborted", {"old": 1, "new": 0})
    assert (recorded.phase, recorded.replicas) == ("Aborted", {"old": 1})


def test_plan_deadline_to_come_is_when_to_look_again() -> None:
    started_at = NOW - timedelta(seconds=45)
    result = step(
        RolloutSpec(replicas=2, progress_deadline_seconds=60),
        make_state("old", 2),
        make_state("new", 1, 0),
        started_at=started_at,
    )

    assert (result.phase, result.requeue_after_seconds) == ("Progressing", 15)


def test_plan_each_available_pod_earns_another_deadline() -> None:
    result = step(
        RolloutSpec(replicas=3, progress_deadline_seconds=60),
        make_state("old", 2),
        make_state("new", 2, 1),
        started_at=NOW - timedelta(seconds=100),
    )

    assert (result.phase, result.requeue_after_seconds) == ("Progressing", 20)


def test_plan_deadline_passed_on_first_deployment_keeps_trying() -> None:
    result = step(
        RolloutSpec(replicas=2, progress_deadline_seconds=60),
        make_state("new", 2, 0),
        stable=None,
        started_at=NOW - timedelta(seconds=61),
    )

    assert (result.phase, result.overdue, result.replicas) == ("Progressing", True, {"new": 2})


def test_plan_given_up_target_is_not_promoted_by_scaling_to_zero() -> None:
    result = step(RolloutSpec(replicas=0), make_state("old", 2), make_state("new", 0), aborted=True)

    assert (result.phase, result.stable) == ("Aborted", "old")


def test_plan_back_to_stable_fills_it_and_empties_the_other() -> None:
    observed = RolloutState(
        target="old", stable="old", revisions=(make_state("old", 2), make_state("new", 1))
    )

    result = plan(RolloutSpec(replicas=2), observed, NOW)

    assert (result.phase, result.replicas) == ("Complete", {"old": 2, "new": 0})


def test_hold_keeps_every_count() -> None:
    observed = RolloutState(
        target="new", stable="old", revisions=(make_state("old", 2), make_state("new", 1))
    )

    assert hold(observed, NOW).replicas == {"old": 2, "new": 1}


@pytest.mark.parametrize(
    ("surge", "unavailable", "expected"),
    [(1, 0, (1, 0)), ("25%", "25%", (3, 2)), ("10%", 0, (1, 0)), (0, 0, (0, 1)), ("0%", "5%", (0, 1))],
)
def test_limits_of_ten_replicas(surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    spec = RolloutSpec(replicas=10, max_surge=surge, max_unavailable=unavailable)

    assert (max_surge_pods(spec), max_unavailable_pods(spec)) == expected


def test_plan_pod_that_nobody_has_counted_yet_is_no_reason_to_take_another() -> None:
    stale = make_state("old", 2, 0, pods=1, settled=False)

    assert step(RolloutSpec(replicas=2), stale, make_state("between", 2)).replicas == {
        "old": 2,
        "between": 2,
        "new": 0,
    }


ACCEPTED = Progress(revision="new", contract="Passed")
CAREFUL = RolloutSpec(replicas=2, contract="Enforce")


def test_plan_pods_that_nobody_accepted_keep_clients_where_they_are() -> None:
    states = (make_state("old", 2), make_state("between", 1), make_state("new", 1))

    assert step(CAREFUL, *states, selected="old", progress=ACCEPTED).selector == "old"
    assert step(CAREFUL, *states[::2], selected="old", progress=ACCEPTED).selector is None


def test_plan_target_that_clients_cannot_find_is_not_complete() -> None:
    result = step(CAREFUL, make_state("old", 0), make_state("new", 2), selected="old", progress=ACCEPTED)

    assert (result.phase, result.stable, result.selector) == ("Progressing", "old", None)


def test_plan_target_that_nobody_accepted_is_not_complete() -> None:
    result = step(CAREFUL, make_state("old", 0), make_state("new", 2))

    assert (result.phase, result.stable) == ("Verifying", "old")


def test_plan_pause_of_a_target_with_all_pods_is_not_complete() -> None:
    result = step(RolloutSpec(replicas=2), make_state("old", 0), make_state("new", 2), verb="pause")

    assert (result.phase, result.stable, result.replicas) == ("Paused", "old", {"old": 0, "new": 2})


def test_plan_that_is_held_for_want_of_room_is_not_made_again_at_once() -> None:
    spec = RolloutSpec(replicas=1, strategy="Canary", steps=(Wait(60), SetWeight(50)))
    long_ago = NOW - timedelta(hours=1)
    progress = Progress(revision="new", paused="PauseStep", since=long_ago, stable_down_since=long_ago)
    capacity = Capacity(missing=0, surge=0, replicas=1, decided_at=NOW)

    result = step(spec, make_state("old", 1), make_state("new", 0), progress=progress, capacity=capacity)

    assert (result.held, result.requeue_after_seconds) == (True, 600)
