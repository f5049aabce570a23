"""Services sleep and wake, activators come and go, the operator is killed: somebody leads at any time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.operator.decide.rollout.fleet import Fleet
from tests.unit.operator.decide.standby.sleeper import Sleeper

from modelservice_operator.decide.rollout.model import RolloutSpec

ACTIVATORS = st.sampled_from(["a", "b", "c"])
OPERATE = st.tuples(st.just("operate"), st.sampled_from([None, None, None, 0, 1, 2, 3]))
EVENTS = st.lists(
    st.one_of(
        OPERATE,
        OPERATE,
        st.tuples(st.sampled_from(["advance", "work", "work"])),
        st.tuples(st.sampled_from(["come", "go", "answer", "answer"]), ACTIVATORS),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.9, 1.0, -3600.0])),
        st.tuples(st.just("scale"), st.sampled_from([0, 0, 1, 3])),
        st.tuples(st.just("head_for"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.sampled_from(["sync", "start"]), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("let_sleep"), st.booleans()),
    ),
    max_size=60,
)
SPECS = st.builds(
    RolloutSpec,
    replicas=st.just(1),
    strategy=st.sampled_from(["RollingUpdate", "BlueGreen", "Canary"]),
    max_surge=st.sampled_from([1, 2]),
)


def happen(sleeper: Sleeper, event: tuple[Any, ...]) -> None:
    """Let one thing happen, where it can."""
    kind, *facts = event
    fleet = sleeper.fleet
    if kind == "let_sleep":
        sleeper.may_sleep = facts[0]
    elif kind in ("advance", "head_for"):
        getattr(fleet, kind)(*facts)
    elif kind in ("sync", "start"):
        if facts[0] in fleet.deployments:
            getattr(fleet, kind)(facts[0])
    else:
        getattr(sleeper, kind)(*facts)


def settle(sleeper: Sleeper) -> None:
    """Let all go well until nothing is written and nothing is due."""
    quiet = 0
    for _ in range(200):
        before = (sleeper.slice, sleeper.fleet.wanted(), sleeper.standby_since, sleeper.woken_at)
        sleeper.work()
        sleeper.fleet.advance()
        sleeper.wait(1.0)
        after = (sleeper.slice, sleeper.fleet.wanted(), sleeper.standby_since, sleeper.woken_at)
        quiet = quiet + 1 if before == after else 0
        if quiet == 3:
            return
    msg = f"no rest: {sleeper}"
    raise AssertionError(msg)


@settings(max_examples=250)
@given(SPECS, EVENTS, st.booleans(), st.sets(ACTIVATORS, max_size=1))
def test_any_history_leaves_no_client_without_somebody_who_leads(
    spec: RolloutSpec, events: list[tuple[Any, ...]], is_awake: bool, deaf: set[str]
) -> None:
    sleeper = Sleeper(Fleet(replace(spec, replicas=1)), deaf=deaf)
    sleeper.scale(1 if is_awake else 0)
    settle(sleeper)
    for event in events:
        happen(sleeper, event)
    sleeper.deaf, sleeper.may_sleep = deaf - {"a"}, True
    sleeper.come("a")
    sleeper.come("b")
    sleeper.scale(0)
    settle(sleeper)
    assert sleeper.last is not None
    assert (sleeper.last.phase, sum(sleeper.fleet.wanted().values())) == ("Asleep", 0)
    assert sleeper.is_covered()
    sleeper.scale(1)
    settle(sleeper)
    assert (sleeper.last.phase, sleeper.last.woken_at, sleeper.ready_since) == ("Awake", None, {})
    assert sleeper.fleet.reach(sleeper.fleet.seen) == 1
