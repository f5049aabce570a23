"""Lets a fleet go on until nothing is due any more, and says what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.operator.decide.rollout.rules import check_admitted

from modelservice_operator.facts.routes import RoutePlan

if TYPE_CHECKING:
    from tests.unit.operator.decide.rollout.fleet import Fleet

    from modelservice_operator.decide.rollout.model import Plan

MOST_ROUNDS = 500


def settle(fleet: Fleet, measurement: str = "good") -> Plan:
    """Let all go as well as it can, until there is nothing to do and nothing is due.

    Time passes only as far as the plan says that something is due then: one that forgets to say it hangs.
    """
    for _ in range(MOST_ROUNDS):
        result = work(fleet)
        if result.measures:
            fleet.wait(30)
            fleet.measure(measurement)
        elif result.requeue_after_seconds is None:
            check_rest(fleet, result)
            return result
        else:
            fleet.wait(result.requeue_after_seconds)
    msg = f"no rest: {fleet}"
    raise AssertionError(msg)


def work(fleet: Fleet) -> Plan:
    """Let everything arrive that is on its way, while no time passes and nobody measures."""
    for _ in range(MOST_ROUNDS):
        before = snapshot(fleet)
        result = fleet.operate()
        fleet.advance()
        check_admitted(fleet)
        if snapshot(fleet) == before:
            return result
    msg = f"no rest: {fleet}"
    raise AssertionError(msg)


def quiesce(fleet: Fleet) -> None:
    """Plan and carry out until nothing changes, while nothing happens and no time passes."""
    for _ in range(len(fleet.spec.steps) + 8):
        before = snapshot(fleet)
        fleet.operate()
        if snapshot(fleet) == before:
            return
    msg = f"writes for ever: {fleet}"
    raise AssertionError(msg)


def snapshot(fleet: Fleet) -> tuple[object, ...]:
    """Return everything but the time."""
    pods = fleet.deployments.items()
    return (
        {name: (one.wanted, one.reported, one.terminating, one.seen) for name, one in pods},
        fleet.written,
        fleet.seen,
        fleet.stable,
        fleet.progress,
        frozenset(fleet.aborted),
        fleet.capacity,
        fleet.route,
        fleet.recorded_route,
        frozenset(fleet.answering.items()),
        fleet.last and (fleet.last.phase, fleet.last.measures, fleet.last.verifies),
    )


def check_rest(fleet: Fleet, result: Plan) -> None:
    """Check the state in which nothing happens any more."""
    replicas, stable, target, pods = (
        fleet.spec.replicas,
        fleet.stable,
        fleet.target,
        fleet.deployments.items(),
    )
    if result.phase == "Complete":
        assert stable == target
        assert fleet.wanted() == {target: replicas} or target in fleet.broken, "not at rest"
        assert fleet.route in (None, RoutePlan()) or target in fleet.broken, "routes are not at rest"
    elif result.phase == "Aborted":
        assert target in fleet.aborted
        if stable is None:
            assert not fleet.wanted()[target], "pods of what was not good enough"
            return
        left = {name: count for name, count in fleet.wanted().items() if count and name != stable}
        assert not left or stable in fleet.broken, "not back"
        assert stable is not None
        assert fleet.wanted()[stable] == replicas or stable in fleet.broken, "not back"
    elif result.phase == "Paused":
        assert result.progress is not None
        assert result.progress.paused in ("PauseStep", "Requested", "Inconclusive", "AwaitingPromotion")
        assert stable not in (None, target)
        is_kept = fleet.broken or fleet.spec.strategy == "Recreate"
        assert is_kept or {name for name, one in pods if one.total} <= {stable, target}
    else:
        is_trying = stable is None and target in fleet.broken
        assert result.held or is_trying, f"stuck: {result} {fleet}"
