"""Two RuntimeRollouts of one ModelRuntime: members obey the newest that has started, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.decide.fleet.cluster import NEW, NEWEST, OLD, Cluster

QUICK: dict[str, Any] = {"maxConcurrent": 1, "maxUnavailable": 1}


def images(cluster: Cluster) -> set[str]:
    return {one.image for one in cluster.services.values()}


def degraded(rollout: dict[str, Any]) -> str:
    return str(next(one for one in rollout["status"]["conditions"] if one["type"] == "Degraded")["status"])


def test_a_newer_one_supersedes_and_both_say_so() -> None:
    cluster = Cluster(4, **QUICK)
    cluster.look()
    cluster.apply_newer(**QUICK)
    cluster.look()
    assert cluster.status["supersedes"] == ["may"]
    assert cluster.told("s00") is not None
    cluster.look_at_older()
    older = cluster.older["status"]
    assert (older["phase"], older["supersededBy"], older["states"]) == ("Superseded", "june", "EPPP")
    assert older["endedAt"] == cluster.status["startedAt"]
    cluster.look_on()
    assert (cluster.status["phase"], cluster.states, images(cluster)) == ("Complete", "UUUU", {NEWEST})


@pytest.mark.parametrize("is_seen", [True, False])
def test_members_of_an_aborted_one_that_are_on_the_way_obey_the_newer_one(is_seen: bool) -> None:
    cluster = Cluster(1, **QUICK, soakSeconds=1800)
    cluster.look()
    cluster.take("s00")
    cluster.arrive("s00")
    cluster.ask("abort")
    cluster.look()
    assert cluster.status["phase"] == "Aborted"
    cluster.apply_newer(**QUICK)
    for _ in range(3):
        cluster.look()
        if is_seen:
            cluster.look_at_older()
        cluster.take("s00")
        cluster.arrive("s00")
    assert (cluster.status["phase"], images(cluster)) == ("Complete", {NEWEST})
    assert cluster.status["supersedes"] == ["may"]
    cluster.look_at_older()
    assert cluster.older["status"]["phase"] == "Superseded"


def test_limits_hold_over_what_is_still_on_the_way_for_the_older_one() -> None:
    cluster = Cluster(6, maxConcurrent=2, maxUnavailable=6)
    cluster.look()
    cluster.take("s00")
    cluster.take("s01")
    cluster.apply_newer(maxConcurrent=2, maxUnavailable=6, memberDeadlineSeconds=600)
    cluster.look()
    cluster.look_at_older()
    assert cluster.states == "PPPPPP", "two are moving already"
    assert "It waits for changes of mail/s00 and 1 more to end." in str(cluster.status["conditions"])
    cluster.arrive("s00")
    cluster.look()
    assert cluster.states == "MPPPPP"
    cluster.take("s00")
    cluster.arrive("s00")
    cluster.wait(300)
    cluster.look()
    assert cluster.states == "UPMPPP"
    cluster.wait(301)  # somebody has left it in the middle
    cluster.look()
    assert cluster.states == "UBMMPP"


@pytest.mark.parametrize("request_", ["abort", "rollback"])
def test_one_that_is_at_its_end_stays_as_it_is(request_: str) -> None:
    cluster = Cluster(2, **QUICK)
    cluster.look()
    cluster.ask(request_)
    cluster.look_on()
    phase = cluster.status["phase"]
    cluster.apply_newer(**QUICK)
    cluster.look_on()
    assert "supersedes" not in cluster.status
    assert (cluster.older["status"]["phase"], "supersededBy" in cluster.older["status"]) == (phase, False)


def test_nobody_fails_any_more_in_one_that_is_superseded() -> None:
    cluster = Cluster(3, maxConcurrent=3, maxUnavailable=3, memberDeadlineSeconds=600)
    cluster.look()
    cluster.apply_newer(maxConcurrent=3, maxUnavailable=3)
    cluster.look_on()
    cluster.wait(601)
    cluster.look_at_older()
    older = cluster.older["status"]
    assert (older["phase"], older["states"], older["counts"]["failed"]) == ("Superseded", "EEE", 0)
    assert degraded(cluster.older) == "False"


def test_one_that_goes_back_is_superseded_too_and_forgets_no_failure() -> None:
    cluster = Cluster(2, maxConcurrent=2, maxUnavailable=2, onFailure="RollbackAll")
    cluster.look()
    cluster.take("s00")
    cluster.take("s01")
    cluster.arrive("s01")
    cluster.break_down("s00")
    cluster.look()
    assert (cluster.states, cluster.status["phase"]) == ("GC", "RollingBack")
    cluster.apply_newer(maxConcurrent=2, maxUnavailable=2)
    cluster.look()
    cluster.look_at_older()
    assert (cluster.older["status"]["phase"], cluster.older["status"]["states"]) == ("Superseded", "XE")
    assert cluster.older["status"]["counts"]["failed"] == 1


@pytest.mark.parametrize("has_started", [True, False])
def test_superseded_is_for_ever_though_the_newer_one_is_gone(has_started: bool) -> None:
    cluster = Cluster(2, **QUICK, paused=not has_started)
    cluster.look()
    cluster.apply_newer(**QUICK)
    cluster.look_on()
    before = cluster.older["status"]
    cluster.book.remove("june")
    cluster.rollout, cluster.others = cluster.older, []
    cluster.edit(paused=False)
    cluster.look_on()
    assert (cluster.status["phase"], cluster.status["supersededBy"]) == ("Superseded", "june")
    assert cluster.status["endedAt"] == before["endedAt"]
    ready = next(one for one in cluster.status["conditions"] if one["type"] == "Ready")
    assert ready["message"].startswith("RuntimeRollout june took over.")
    assert images(cluster) == {NEWEST}


def test_a_newer_one_waits_for_no_older_one_that_cannot_be_understood() -> None:
    cluster = Cluster(2, **QUICK)
    cluster.look()
    cluster.edit(soakSeconds="long")
    cluster.apply_newer(**QUICK)
    cluster.look_on()
    assert (cluster.status["phase"], images(cluster)) == ("Complete", {NEWEST})


def test_members_that_only_the_older_one_has_are_told_nothing_more() -> None:
    cluster = Cluster(2, maxConcurrent=2, maxUnavailable=2)
    cluster.look()
    cluster.take("s00")
    cluster.apply_newer(**QUICK, selector={"namespaces": ["elsewhere"]})
    cluster.look_on()
    assert [one.image for one in cluster.services.values()] == [NEW, OLD]
