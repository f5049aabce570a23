"""Changes in a simulated cluster where anything happens at any moment: what must hold always, holds."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.operator.decide.rollout.fleet import Fleet
from tests.unit.operator.decide.rollout.settling import quiesce, settle, work

from modelservice_operator.decide.rollout.model import Analyse, RolloutSpec, SetWeight, Wait

NAMES = ("a", "b", "c", "d")
NUMBERS = st.integers(0, 5)
REVISIONS = st.sampled_from(NAMES)
STEPS = st.lists(
    st.one_of(
        st.builds(SetWeight, st.sampled_from([0, 1, 10, 34, 50, 99, 100])),
        st.builds(Wait, st.sampled_from([None, 1, 60])),
        st.builds(Analyse, st.integers(1, 2), st.integers(0, 1), st.integers(0, 1)),
    ),
    min_size=1,
    max_size=5,
)


def make_spec(steps: list[Any], fields: dict[str, Any]) -> RolloutSpec:
    """A spec as it is read: only a Canary has steps, and what is watched is its last analysis."""
    if fields["strategy"] != "Canary":
        return RolloutSpec(**fields | {"rollback_window_seconds": 0})
    watch = next((one for one in reversed(steps) if isinstance(one, Analyse)), None)
    return RolloutSpec(**fields, steps=tuple(steps), steps_hash=str(hash(tuple(steps))), watch=watch)


SPECS = st.builds(
    make_spec,
    STEPS,
    st.fixed_dictionaries(
        {
            "replicas": NUMBERS,
            "strategy": st.sampled_from(["Canary", "BlueGreen", "RollingUpdate", "Recreate"]),
            "max_surge": st.sampled_from([1, 0, 2, "25%", "100%"]),
            "max_unavailable": st.sampled_from([0, 1, "50%"]),
            "contract": st.sampled_from(["Enforce", "Warn", "Ignore"]),
            "is_evaluated": st.booleans(),
            "auto_promote": st.booleans(),
            "preview_seconds": st.sampled_from([0, 30]),
            "scale_down_delay_seconds": st.sampled_from([0, 30]),
            "rollback_window_seconds": st.sampled_from([0, 300]),
            "surge_probe_seconds": st.sampled_from([30, 0, None]),
            "is_routed": st.booleans(),
            "is_shown": st.booleans(),
        }
    ),
)
OPERATE = st.tuples(st.just("operate"), st.sampled_from([None, None, None, None, 0, 1, 2, 3]), st.booleans())
ADVANCE = st.tuples(st.just("advance"))
EVENTS = st.lists(
    st.one_of(
        OPERATE,
        ADVANCE,
        OPERATE,
        ADVANCE,
        st.tuples(st.sampled_from(["sync", "start", "fail", "vanish", "stop", "head_for"]), REVISIONS),
        st.tuples(st.sampled_from(["see", "look", "evaluate", "lose_service"])),
        st.tuples(st.just("measure"), st.sampled_from(["good", "bad", "none"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 10, 60, 700, -3600])),
        st.tuples(st.just("ask"), st.sampled_from(["promote", "pause", "resume", "abort", "retry"])),
        st.tuples(st.just("scale"), NUMBERS),
        st.tuples(st.just("edit"), SPECS),
    ),
    max_size=50,
)
CONTRACTS = st.dictionaries(REVISIONS, st.sampled_from(["Passed", "Failed", "Never"]))
EVALUATIONS = st.dictionaries(REVISIONS, st.sampled_from(["Passed", "Failed", "Inconclusive"]))


def happen(fleet: Fleet, event: tuple[Any, ...]) -> None:
    """Let one thing happen, where it can."""
    kind, *facts = event
    if kind == "operate":
        fleet.fuse = facts[0]
        fleet.operate(service_last=facts[1])
        fleet.fuse = None
    elif kind == "scale":
        fleet.spec = replace(fleet.spec, replicas=facts[0])
    elif kind == "edit":
        fleet.spec = facts[0]
    elif kind in ("sync", "start", "fail", "vanish", "stop"):
        if facts[0] in fleet.deployments:
            getattr(fleet, kind)(facts[0])
    else:
        getattr(fleet, kind)(*facts)


FLEETS = st.builds(
    Fleet,
    SPECS,
    contracts=CONTRACTS,
    evaluations=EVALUATIONS,
    broken=st.sets(REVISIONS, max_size=1),
    places=st.sampled_from([1000, 3]),
)


@settings(max_examples=400)
@given(FLEETS, st.booleans(), EVENTS)
def test_any_history_keeps_the_rules_and_ends(
    fleet: Fleet, is_change: bool, events: list[tuple[Any, ...]]
) -> None:
    if is_change:
        work(fleet)
        fleet.head_for("b")
    for event in events:
        happen(fleet, event)
    fleet.places = 1000
    quiesce(fleet)
    for _ in range(10):
        if settle(fleet).phase != "Paused":
            return
        fleet.ask("resume")
    msg = f"a person resumes for ever: {fleet}"
    raise AssertionError(msg)
