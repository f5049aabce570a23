"""A status that somebody edited, or a clock that was wrong: no look fails, and it says what is so."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.decide.fleet.cluster import Cluster
from tests.unit.operator.decide.fleet.told import all_arrive, conditions, reason

TO_COME = "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"members": ["mail/s00 s00-1234 0 1", "mail/s01"]}, "status.members: expected"),
        ({"members": ["mail/s00 s00-1234 0 1", "mail/s01 s01-1234 0 -1"]}, "status.members: expected"),
        ({"members": ["mail/s00 s00-1234 0 1"]}, "status.states: expected 1 letters, got 2"),
        ({"states": "M"}, "status.states: expected 2 letters, got 1"),
        ({"states": "MZ"}, "status.states: expected letters of PMUF"),
        ({"images": ["registry.example/onnx:1"]}, "names an image that status.images does not have"),
        ({"images": None}, "names an image that status.images does not have"),
        ({"waves": []}, "status.waves: expected 2 members in the waves of spec, got 0"),
    ],
)
def test_status_that_is_none_is_told_and_nobody_is_told_anything(edit: dict[str, Any], sentence: str) -> None:
    cluster = Cluster(2, maxConcurrent=2, maxUnavailable=2)
    cluster.look()
    edited = {**cluster.status, **edit}
    cluster.rollout["status"] = {field: value for field, value in edited.items() if value is not None}
    cluster.book.put(cluster.rollout)
    if "waves" not in edit:
        assert cluster.told("s00") is None
    cluster.look()
    assert (reason(cluster), conditions(cluster)["Stalled"]) == ("StatusUnreadable", "True")
    assert sentence in cluster.status["conditions"][0]["message"]
    assert {**cluster.status, "conditions": None} == {**cluster.rollout["status"], "conditions": None}
    cluster.apply_newer(maxUnavailable=2)
    cluster.look()
    all_arrive(cluster)
    cluster.look()
    assert (cluster.states, cluster.status["phase"]) == ("UU", "Complete")


def test_times_to_come_hold_nothing_up() -> None:
    cluster = Cluster(2, maxConcurrent=1, maxUnavailable=1, memberDeadlineSeconds=60, maxFailures=1)
    cluster.look()
    cluster.rollout["status"]["moving"][0]["since"] = TO_COME
    cluster.look()
    cluster.wait(60)
    cluster.look()
    assert (cluster.states, cluster.status["failures"][0]["reason"]) == ("FM", "MemberDeadlineExceeded")


def test_member_that_is_not_ready_since_a_time_to_come_is_waited_for() -> None:
    cluster = Cluster(1, memberDeadlineSeconds=60)
    cluster.services["s00"].is_ready = False
    cluster.services["s00"].since = cluster.now.replace(year=9999)
    cluster.look()
    assert (cluster.states, cluster.decision.requeue_after_seconds) == ("P", 60)
    cluster.heal("s00")
    cluster.look()
    assert cluster.states == "M"


def test_one_that_ended_in_the_future_is_kept_no_longer_than_others() -> None:
    cluster = Cluster(1, ttlSecondsAfterFinished=60)
    cluster.look()
    all_arrive(cluster)
    cluster.look()
    cluster.rollout["status"]["endedAt"] = TO_COME
    cluster.look()
    cluster.wait(60)
    cluster.look()
    assert cluster.decision.is_expired
