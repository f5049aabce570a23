"""An operator that is killed after any single write, and started again, comes to the same end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.operator.decide.rollout.changes import begin_change, make_blue_green, make_canary, progress_of
from tests.unit.operator.decide.rollout.settling import settle

from modelservice_operator.decide.rollout.model import Analyse, RolloutSpec, SetWeight, Wait

if TYPE_CHECKING:
    from tests.unit.operator.decide.rollout.fleet import Fleet

STEPS = (SetWeight(25), Analyse(), SetWeight(75), Wait(), SetWeight(50), Wait(60))
SPECS = {
    "Canary through a gateway": make_canary(*STEPS, is_routed=True, is_shown=True),
    "RollingUpdate": RolloutSpec(replicas=3, contract="Enforce"),
    "Recreate": RolloutSpec(replicas=2, contract="Enforce", strategy="Recreate"),
    "Canary": make_canary(*STEPS, watch=Analyse(), rollback_window_seconds=300),
    "Canary without a surge": make_canary(*STEPS, max_surge=0, max_unavailable=1),
    "BlueGreen": make_blue_green(auto_promote=False, scale_down_delay_seconds=60),
    "BlueGreen by itself": make_blue_green(preview_seconds=30),
}
COURSES = {
    "forward": {},
    "broken contract": {"contracts": {"b": "Failed"}},
    "never available": {"broken": {"b"}},
}


def live(
    spec: RolloutSpec, course: str, fuse: int | None, *, verb: str = "", measurement: str = "good"
) -> Fleet:
    """Return a fleet at the end of a change whose operator was killed after so many writes."""
    fleet = begin_change(spec, **COURSES[course])
    fleet.writes, fleet.fuse = 0, fuse
    if verb:
        while "b" not in fleet.deployments:
            fleet.operate()
            fleet.advance()
        fleet.ask(verb)
    while settle(fleet, measurement).phase == "Paused":
        fleet.ask("resume")
    return fleet


def end_of(fleet: Fleet) -> tuple[object, ...]:
    progress = progress_of(fleet)
    return (
        fleet.stable,
        fleet.wanted(),
        fleet.written,
        fleet.aborted,
        fleet.created,
        (progress.index, progress.contract, progress.reason, progress.previous),
    )


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("name", SPECS)
def test_change_ends_the_same_after_every_write(name: str, course: str) -> None:
    whole = live(SPECS[name], course, None)
    assert whole.stable == ("b" if course == "forward" else "a")

    for fuse in range(whole.writes):
        assert end_of(live(SPECS[name], course, fuse)) == end_of(whole), f"killed after {fuse} writes"


@pytest.mark.parametrize(("verb", "measurement"), [("abort", "good"), ("promote", "good"), ("", "bad")])
@pytest.mark.parametrize("name", SPECS)
def test_what_people_ask_and_gates_say_is_done_after_every_write(
    name: str, verb: str, measurement: str
) -> None:
    whole = live(SPECS[name], "forward", None, verb=verb, measurement=measurement)

    for fuse in range(whole.writes):
        killed = live(SPECS[name], "forward", fuse, verb=verb, measurement=measurement)
        assert end_of(killed) == end_of(whole), f"killed after {fuse} writes"
