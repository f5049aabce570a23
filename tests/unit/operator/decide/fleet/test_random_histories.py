"""Runs in which anything happens at any moment: what must hold always, holds, and each comes to an end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.decide.fleet.cluster import Cluster

from modelservice_operator.facts.fleet import OVER, State

MEMBERS = 9
NAMES = st.sampled_from([f"s{number:02}" for number in range(MEMBERS)])
WAVES = [
    {"name": "one", "selector": {"matchLabels": {"wave": "1"}}, "approval": True},
    {"name": "two", "selector": {"matchLabels": {"wave": "2"}}},
    {"name": "rest", "rest": True, "approval": True},
]
CLOSED_OFTEN = [{"schedule": "0 * * * *", "durationSeconds": 600}]
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "paused": st.booleans(),
        "maxConcurrent": st.integers(1, 4),
        "maxUnavailable": st.sampled_from([1, 2, 5, "1%", "34%", "100%"]),
        "maxFailures": st.integers(0, 3),
        "soakSeconds": st.sampled_from([0, 30]),
        "memberDeadlineSeconds": st.sampled_from([60, 3600]),
        "onFailure": st.sampled_from(["Halt", "RollbackFailed", "RollbackAll"]),
        "maintenanceWindows": st.sampled_from([[], CLOSED_OFTEN]),
    },
)
REQUESTS = st.sampled_from(["approve@one", "approve@rest", "pause", "resume", "abort", "rollback", "what"])
ANSWERS = ["take", "take", "arrive", "arrive", "give_up"]
ACCIDENTS = ["break_down", "vanish", "heal", "change", "pin", "move_away", "delete", "replace"]
EVENTS = st.lists(
    st.one_of(
        st.just(("look",)),
        st.just(("look",)),
        st.just(("kill",)),
        st.tuples(st.sampled_from(ANSWERS), NAMES),
        st.just(("all_arrive",)),
        st.tuples(st.sampled_from(ACCIDENTS), NAMES),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 700, 4000])),
        st.tuples(st.just("ask"), REQUESTS),
        st.tuples(st.just("edit"), CHANGES),
    ),
    max_size=60,
)


def happen(cluster: Cluster, number: int, event: tuple[Any, ...]) -> None:
    kind, *facts = event
    if kind == "kill":
        cluster.look(is_killed=True)
    elif kind == "ask":
        cluster.ask(f"{facts[0]}@{number}")
    elif kind == "edit":
        cluster.edit(**facts[0])
    elif kind == "all_arrive":
        for name in list(cluster.services):
            cluster.take(name)
            cluster.arrive(name)
    else:
        getattr(cluster, kind)(*facts)


def quiesce(cluster: Cluster) -> None:
    """Nobody stands in its way any more."""
    cluster.edit(paused=False, maintenanceWindows=[], maxUnavailable="100%")
    for request in ("resume@end", "approve@one@end", "approve@rest@end"):
        cluster.ask(request)
        cluster.look()
    for name in list(cluster.services):
        cluster.heal(name)


@settings(max_examples=80)
@given(CHANGES, EVENTS, st.sampled_from([("one", "rest"), ("one",), ()]), st.booleans())
def test_any_history_keeps_the_rules_and_ends(
    spec: dict[str, Any], events: list[tuple[Any, ...]], approved: tuple[str, ...], is_taken_back: bool
) -> None:
    cluster = Cluster(MEMBERS, waves=WAVES, **spec)
    for wave in approved:
        cluster.ask(f"approve@{wave}")
        cluster.look()
    for number, event in enumerate(events):
        happen(cluster, number, event)
    quiesce(cluster)
    cluster.look_on()
    if is_taken_back:
        cluster.ask("rollback@end")
        cluster.look_on()
    phase, states = cluster.status["phase"], cluster.states
    assert phase in (*OVER, "Halted")
    assert not set(states) & {State.MOVING, State.RETURNING, State.FAILED_RETURNING}
    assert phase == "RolledBack" or not is_taken_back or "members" not in cluster.status
    if phase == "RolledBack":
        assert not set(states) & {State.UPDATED, State.FAILED}
    if phase == "Halted":
        assert cluster.status["counts"]["failed"] > cluster.rollout["spec"].get("maxFailures", 0)


@settings(max_examples=15)
@given(EVENTS, st.integers(0, 60))
def test_operator_that_forgets_everything_comes_to_the_same(events: list[tuple[Any, ...]], lost: int) -> None:
    """One look that is lost, with whatever it decided, changes nothing about the end."""
    ends = []
    for is_killed in (False, True):
        cluster = Cluster(MEMBERS, waves=WAVES, maxConcurrent=2, maxUnavailable=3)
        cluster.ask("approve@one")
        cluster.look()
        for number, event in enumerate(events):
            if number == lost:
                cluster.look(is_killed=is_killed)
            if event[0] != "look":
                happen(cluster, number, event)
            cluster.look()
        ends.append(cluster.status)
    assert ends[0] == ends[1]
