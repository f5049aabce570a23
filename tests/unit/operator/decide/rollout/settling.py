"""Lets a fleet go on until nothing is due any more, and says what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.operator.decide.rollout.rules import check_admitted

if TYPE_CHECKING:
    from tests.unit.operator.decide.rollout.fleet import Fleet

    from modelservice_operator.decide.rollout.model import Plan

MOST_ROUNDS = 500


def settle(fleet: Fleet, measurement: str = "good") -> Plan:
    """Let all go as well as it can, until there is nothing to do and nothing is due.

    Time passes only as far as the plan says that something is due then: one that forgets to say it hangs.
    """
    for _ in range(MOST_ROUNDS):
        before = snapshot(fleet)
        result = fleet.operate()
        fleet.advance()
        if result.measures:
            fleet.wait(30)
            fleet.measure(measurement)
        check_admitted(fleet)
        if snapshot(fleet) != before:
            continue
        if result.requeue_after_seconds is None:
            check_rest(fleet, result)
            return result
        fleet.wait(result.requeue_after_seconds)
    msg = f"no rest: {fleet}"
    raise AssertionError(msg)


def snapshot(fleet: Fleet) -> tuple[object, ...]:
    """Return everything but the time."""
    return (
        {name: (one.wanted, one.reported, one.seen) for name, one in fleet.deployments.items()},
        fleet.written,
        fleet.seen,
        fleet.stable,
        fleet.progress,
        frozenset(fleet.aborted),
        fleet.capacity,
        fleet.last and (fleet.last.phase, fleet.last.measures, fleet.last.verifies),
    )


def check_rest(fleet: Fleet, result: Plan) -> None:
    """Check the state in which nothing happens any more."""
    replicas, stable, target = fleet.spec.replicas, fleet.stable, fleet.target
    if result.phase == "Complete":
        assert (stable, fleet.wanted()) == (target, {target: replicas}), "not at rest"
    elif result.phase == "Aborted":
        assert target in fleet.aborted
        assert {name: count for name, count in fleet.wanted().items() if count} == {
            name: replicas for name in (stable,) if replicas
        }, "not back"
    elif result.phase == "Paused":
        assert result.progress is not None
        assert result.progress.paused in ("PauseStep", "Requested", "Inconclusive", "AwaitingPromotion")
        assert {name for name, one in fleet.deployments.items() if one.total} <= {stable, target}
    else:
        assert result.held or target in fleet.broken, f"stuck: {result} {fleet}"
    assert {name for name, one in fleet.deployments.items() if one.total} <= {stable, target, None}
