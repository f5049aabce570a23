"""Runs in which anything happens at any moment: what must hold always, holds, and each comes to an end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.operator.decide.fleet.cluster import Cluster

from modelservice_operator.facts.fleet import BACK, OVER, State

MEMBERS = 9
NAMES = st.sampled_from([f"s{number:02}" for number in range(MEMBERS)])
WAVES = [
    {"name": "one", "selector": {"matchLabels": {"wave": "1"}}, "approval": True},
    {"name": "two", "selector": {"matchLabels": {"wave": "2"}}},
    {"name": "rest", "rest": True, "approval": True},
]
CLOSED_OFTEN = [{"schedule": "0 * * * *", "durationSeconds": 600}]
BROKEN = [{"schedule": "99 22 * * *", "durationSeconds": 600}]
"""The API server takes it, and nobody understands it."""
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
        "maintenanceWindows": st.sampled_from([[], CLOSED_OFTEN, BROKEN]),
    },
)
REQUESTS = st.sampled_from(["approve@one", "approve@rest", "pause", "resume", "abort", "rollback", "what"])
ANSWERS = ["take", "take", "arrive", "arrive", "give_up"]
ACCIDENTS = ["break_down", "vanish", "heal", "change", "pin", "move_away", "delete", "replace", "update"]
OWN_UPDATES = st.lists(st.tuples(NAMES, st.booleans()), max_size=3)
"""Members that take the image as their users ask when a run begins, and whether they get it."""
EVENTS = st.lists(
    st.one_of(
        st.just(("look",)),
        st.just(("look",)),
        st.just(("kill",)),
        st.tuples(st.sampled_from(ANSWERS), NAMES),
        st.just(("all_arrive",)),
        st.just(("all_give_up",)),
        st.tuples(st.sampled_from(ACCIDENTS), NAMES),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 700, 4000])),
        st.tuples(st.just("ask"), REQUESTS),
        st.tuples(st.just("edit"), CHANGES),
        st.tuples(st.just("end_update"), NAMES, st.booleans()),
        st.tuples(st.just("apply_newer"), CHANGES),
        st.just(("look_at_older",)),
    ),
    max_size=60,
)


def happen(cluster: Cluster, number: int, event: tuple[Any, ...]) -> None:
    kind, *facts = event
    if kind == "begin_newer":
        happen(cluster, number, ("apply_newer", *facts))
        cluster.look()
        cluster.look_at_older()
    elif kind == "kill":
        cluster.look(is_killed=True)
    elif kind == "ask":
        cluster.ask(f"{facts[0]}@{number}")
    elif kind == "edit":
        cluster.edit(**facts[0])
    elif kind == "apply_newer":
        waves = {"waves": cluster.rollout["spec"]["waves"]} if "waves" in cluster.rollout["spec"] else {}
        cluster.apply_newer(**waves, **facts[0])
    elif kind in ("all_arrive", "all_give_up"):
        for name in list(cluster.services):
            cluster.take(name)
            (cluster.arrive if kind == "all_arrive" else cluster.give_up)(name)
    else:
        getattr(cluster, kind)(*facts)


def quiesce(cluster: Cluster) -> None:
    """Nobody stands in its way any more."""
    cluster.edit(paused=False, maintenanceWindows=[], maxUnavailable="100%")
    for request in ("resume@end", "approve@one@end", "approve@rest@end"):
        cluster.ask(request)
        cluster.look()
    for name in list(cluster.services):
        cluster.end_update(name, True)
        cluster.heal(name)


def assert_back(cluster: Cluster) -> None:
    """Whoever is said to be back has the image of the start, unless its user asked for another one since."""
    images, wanted = cluster.status.get("images"), cluster.asked_for
    for line, state in zip(cluster.status.get("members", ()), cluster.states, strict=True):
        name, uid, had, _ = line.split(" ")
        service = cluster.services.get(name.partition("/")[2])
        is_it = service is not None and service.uid.startswith(uid)
        if service is not None and is_it and state in BACK and service.name not in wanted:
            assert service.stable == images[int(had)]


@settings(max_examples=80)
@given(CHANGES, OWN_UPDATES, EVENTS, st.sampled_from([("one", "rest"), ("one",), ()]), st.booleans())
def test_any_history_keeps_the_rules_and_ends(
    spec: dict[str, Any],
    updates: list[tuple[str, bool]],
    events: list[tuple[Any, ...]],
    approved: tuple[str, ...],
    is_taken_back: bool,
) -> None:
    cluster = Cluster(MEMBERS, waves=WAVES, **spec)
    for name, _ in updates:
        cluster.update(name)
    cluster.look()
    for name, is_well in updates:
        cluster.end_update(name, is_well)
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
        assert_back(cluster)
    for older in cluster.others:
        assert "startedAt" not in cluster.status or "endedAt" in older["status"]
    if phase == "Halted":
        assert cluster.status["counts"]["failed"] > cluster.rollout["spec"].get("maxFailures", 0)


TWO_RUNS = st.lists(
    st.one_of(
        st.sampled_from(
            [("look",), ("look_at_older",), ("all_arrive",), ("all_give_up",), ("delete_newer",)]
        ),
        st.tuples(st.just("take"), st.sampled_from(["s00", "s01", "s02"])),
        st.just(("wait", 4000)),
        st.tuples(st.just("ask"), st.sampled_from(["abort", "rollback"])),
        st.tuples(st.just("apply_newer"), CHANGES),
        st.tuples(st.just("begin_newer"), CHANGES),
    ),
    min_size=8,
    max_size=25,
)


@settings(max_examples=30)
@given(CHANGES, TWO_RUNS)
def test_members_obey_the_newest_run_in_any_history(
    spec: dict[str, Any], events: list[tuple[Any, ...]]
) -> None:
    """Runs without waves, one after the other, in which nothing but themselves is in the way."""
    cluster = Cluster(3, **spec)
    for number, event in enumerate(events):
        happen(cluster, number, event)
    quiesce(cluster)
    cluster.look_on()
    assert cluster.status["phase"] in (*OVER, "Halted")
    for line, state in zip(cluster.status.get("members", ()), cluster.states, strict=True):
        name, _, _, gets = line.split(" ")
        if state == State.UPDATED and cluster.status["phase"] != "Superseded":
            assert cluster.services[name.partition("/")[2]].stable == cluster.status["images"][int(gets)]


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
