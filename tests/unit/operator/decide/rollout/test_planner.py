"""The rolling update in a simulated cluster: pods appear, become available and fail in any order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.operator.builders import NOW

from modelservice_operator.decide.rollout.model import Plan, RevisionState, RolloutSpec, RolloutState
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

    assert hold(observed).replicas == {"old": 2, "new": 1}


@pytest.mark.parametrize(
    ("surge", "unavailable", "expected"),
    [(1, 0, (1, 0)), ("25%", "25%", (3, 2)), ("10%", 0, (1, 0)), (0, 0, (0, 1)), ("0%", "5%", (0, 1))],
)
def test_limits_of_ten_replicas(surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    spec = RolloutSpec(replicas=10, max_surge=surge, max_unavailable=unavailable)

    assert (max_surge_pods(spec), max_unavailable_pods(spec)) == expected


@dataclass
class Fleet:
    """Deployments whose controller and pods lag behind by any number of steps."""

    wanted: dict[str, int] = field(default_factory=dict)
    available: dict[str, int] = field(default_factory=dict)
    starting: dict[str, int] = field(default_factory=dict)
    terminating: dict[str, int] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    reported: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def observe(self, target: str, stable: str | None) -> RolloutState:
        states = []
        for name, wanted in self.wanted.items():
            pods, available, terminating = self.reported.get(name, (0, 0, 0))
            state = RevisionState(
                name=name,
                wanted=wanted,
                pods=pods,
                available=available,
                terminating=terminating,
                settled=name not in self.unseen,
            )
            states.append(state)
        leaving = sum(self.terminating.values())
        return RolloutState(target=target, stable=stable, revisions=tuple(states), leaving=leaving)

    def carry_out(self, replicas: dict[str, int]) -> None:
        for name in list(self.wanted):
            if name not in replicas:
                left = self.total(name) + self.terminating.get(name, 0)
                assert left == 0, "a Deployment with pods was dropped"
                del self.wanted[name]
        for name, count in replicas.items():
            if self.wanted.get(name) != count:
                self.wanted[name] = count
                self.unseen.add(name)

    def sync(self, name: str) -> None:
        """The Deployment controller creates and removes pods; unavailable ones go first."""
        wanted = self.wanted.get(name, 0)
        surplus = self.total(name) - wanted
        removed = min(max(surplus, 0), self.starting.get(name, 0))
        self.starting[name] = self.starting.get(name, 0) - removed + max(-surplus, 0)
        self.available[name] = self.available.get(name, 0) - max(surplus - removed, 0)
        self.terminating[name] = self.terminating.get(name, 0) + max(surplus, 0)
        self.unseen.discard(name)
        self.report(name)

    def report(self, name: str) -> None:
        if name not in self.unseen:
            counts = (self.total(name), self.available.get(name, 0), self.terminating.get(name, 0))
            self.reported[name] = counts

    def become_available(self, name: str) -> None:
        if self.starting.get(name, 0):
            self.starting[name] -= 1
            self.available[name] = self.available.get(name, 0) + 1
            self.report(name)

    def fail(self, name: str) -> None:
        if self.available.get(name, 0):
            self.available[name] -= 1
            self.starting[name] = self.starting.get(name, 0) + 1
            self.report(name)

    def stop(self, name: str) -> None:
        """All pods that were told to have ended."""
        self.terminating[name] = 0
        self.report(name)

    def total(self, name: str) -> int:
        return self.available.get(name, 0) + self.starting.get(name, 0)

    def all_available(self) -> int:
        """Pods that answer, less those that the controller is already told to remove."""
        return sum(min(count, self.wanted.get(name, 0)) for name, count in self.available.items())

    def occupied(self) -> int:
        return sum(max(self.total(name), wanted) for name, wanted in self.wanted.items())


NAMES = ("a", "b", "c")
PODS = {"sync": Fleet.sync, "available": Fleet.become_available, "fail": Fleet.fail, "stop": Fleet.stop}
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["sync", "available", "fail", "stop", "plan", "plan", "scale", "target"]),
        st.integers(0, 5),
    ),
    max_size=60,
)
SPECS = st.builds(
    RolloutSpec,
    replicas=st.integers(0, 6),
    max_surge=st.sampled_from([0, 1, 2, "25%", "100%"]),
    max_unavailable=st.sampled_from([0, 1, "50%"]),
)


@settings(max_examples=150)
@given(SPECS, ACTIONS)
@example(
    RolloutSpec(replicas=1, max_surge=0),
    # The pod of a becomes available while a's Deployment has not been looked at again since it was scaled.
    [("plan", 0), ("sync", 0), ("scale", 2), ("plan", 0), ("target", 1), ("available", 0), ("plan", 0)],
)
def test_plan_any_history_keeps_the_limits_and_comes_to_rest(
    spec: RolloutSpec, actions: list[tuple[str, int]]
) -> None:
    fleet, target, stable = Fleet(), "a", None
    for action, number in actions:
        name = NAMES[number % len(NAMES)]
        if action == "plan":
            stable = plan_and_check(spec, fleet, target, stable)
        elif action == "scale":
            spec = replace(spec, replicas=number)
        elif action == "target":
            target = name
        elif name in fleet.wanted:
            PODS[action](fleet, name)

    for _ in range(100):
        stable = plan_and_check(spec, fleet, target, stable)
        for name in list(fleet.wanted):
            fleet.sync(name)
            fleet.stop(name)
            for _ in range(10):
                fleet.become_available(name)
        if stable == target and fleet.wanted == {target: spec.replicas}:
            return
    pytest.fail(f"no rest: {fleet.wanted}, stable {stable}, target {target}")


def plan_and_check(spec: RolloutSpec, fleet: Fleet, target: str, stable: str | None) -> str | None:
    available_before, occupied_before = fleet.all_available(), fleet.occupied()
    is_rollout = len({*fleet.wanted, target}) > 1
    result = plan(spec, fleet.observe(target, stable), NOW)
    assert plan(spec, fleet.observe(target, stable), NOW) == result
    fleet.carry_out(dict(result.replicas))
    least = min(available_before, spec.replicas - max_unavailable_pods(spec))
    assert fleet.all_available() >= least, "available pods were taken away below the limit"
    most = max(occupied_before, spec.replicas + max_surge_pods(spec))
    assert fleet.occupied() <= most, "more pods than the surge allows"
    if is_rollout and max_surge_pods(spec) == 0 and fleet.occupied() > occupied_before:
        leaving = sum(fleet.terminating.values())
        assert fleet.occupied() + leaving <= spec.replicas, "a new pod without a place"
    if result.stable == target != stable:
        assert fleet.available.get(target, 0) >= spec.replicas, "promoted too early"
    return result.stable
