"""A run that goes no further by itself says what it waits for, and who failed."""

from __future__ import annotations

from tests.unit.operator.decide.fleet.cluster import Cluster
from tests.unit.operator.decide.fleet.told import all_arrive, reason


def message(cluster: Cluster) -> str:
    return str(cluster.status["conditions"][0]["message"])


def test_way_back_that_too_many_unavailable_ones_hold_up_says_so() -> None:
    cluster = Cluster(3, maxConcurrent=3, maxUnavailable=1)
    cluster.look_on()
    cluster.break_down("s00")
    cluster.ask("rollback")
    cluster.look()
    cluster.take("s00")
    cluster.break_down("s00")
    cluster.look()
    assert (cluster.states, cluster.status["phase"], reason(cluster)) == (
        "XUU",
        "RollingBack",
        "TooManyUnavailable",
    )
    assert message(cluster).startswith(
        "1 of 3 members without an available pod: spec.maxUnavailable allows 1."
    )
    cluster.edit(maxUnavailable=2)
    cluster.look()
    assert (cluster.states, reason(cluster)) == ("XCU", "RollingBack")


def test_members_that_their_users_are_changing_are_named_when_nobody_else_is_waited_for() -> None:
    cluster = Cluster(3, maxConcurrent=2, maxUnavailable=3)
    cluster.change("s00")
    cluster.look()
    assert (cluster.states, message(cluster)) == (
        "PMM",
        "Wave rest: 0 of 3 members are updated, 2 on the way.",
    )
    cluster.change("s00")
    all_arrive(cluster)
    cluster.look()
    assert message(cluster).endswith("2 of 3 members are updated. It waits for changes of mail/s00 to end.")
    cluster.heal("s00")
    cluster.look()
    assert message(cluster) == "Wave rest: 2 of 3 members are updated, 1 on the way."


def test_member_that_could_not_go_back_either_is_named_once() -> None:
    cluster = Cluster(1, onFailure="RollbackFailed", memberDeadlineSeconds=60)
    cluster.look()
    cluster.take("s00")
    for _ in range(2):
        cluster.wait(60)
        cluster.look()
        cluster.take("s00")
    assert (cluster.states, len(cluster.status["failures"])) == ("X", 2)
    degraded = next(one for one in cluster.status["conditions"] if one["type"] == "Degraded")
    assert degraded["message"] == "1 member failed: mail/s00: MemberDeadlineExceeded."
