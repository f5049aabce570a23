"""Where the time of a start from zero went, by what pods and servers say."""

from __future__ import annotations

from typing import Any

from modelservice_operator.explain.cold_start import complete, measure
from modelservice_operator.facts.observed import PodReport

WOKEN = "2026-01-01T00:00:10.250Z"


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}Z"


def make_pod(*, created: int = 10, ready: int | None = 20, fetched: bool = True) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(11)}]
    if ready is not None:
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": at(ready)})
    fetch = {"name": "fetch", "state": {"terminated": {"startedAt": at(12), "finishedAt": at(15)}}}
    return {
        "metadata": {"name": "a", "uid": "uid-a", "creationTimestamp": at(created)},
        "status": {
            "conditions": conditions,
            "initContainerStatuses": [fetch] if fetched else [],
            "containerStatuses": [{"name": "server", "state": {"running": {"startedAt": at(16)}}}],
        },
    }


def test_measure_phases_follow_each_other():
    assert measure(WOKEN, (make_pod(),)) == {
        "time": at(20),
        "totalSeconds": "9.75",
        "scheduleSeconds": "0.75",
        "pullSeconds": "1",
        "fetchSeconds": "3",
    }


def test_measure_without_a_download_knows_of_no_fetch():
    found = measure(WOKEN, (make_pod(fetched=False),))
    assert found is not None
    assert found["pullSeconds"] == "5"
    assert "fetchSeconds" not in found


def test_measure_takes_the_first_pod_and_none_that_is_older_or_not_ready():
    pods = (make_pod(ready=25), make_pod(ready=22), make_pod(ready=None), make_pod(created=7, ready=11))
    found = measure(WOKEN, pods)
    assert found is not None
    assert found["time"] == at(22)
    assert measure(WOKEN, (make_pod(created=7),)) is None
    assert measure("nonsense", (make_pod(),)) is None


def test_measure_with_clocks_that_disagree_says_nothing_negative():
    found = measure("2026-01-01T00:00:10.900Z", (make_pod(ready=10),))
    assert found is not None
    assert found["totalSeconds"] == "0"


def test_complete_takes_load_and_warm_up_from_the_report_of_that_pod():
    known = measure(WOKEN, (make_pod(),))
    assert known is not None
    report = PodReport(digests_complete=True, models=(), load_seconds=2.5, warm_seconds=0.125)
    whole = complete(known, (make_pod(),), {"uid-a": report})
    assert (whole["loadSeconds"], whole["warmSeconds"]) == ("2.5", "0.125")
    assert complete(whole, (make_pod(ready=30),), {}) == whole
    assert complete(known, (make_pod(ready=30),), {"uid-a": report}) == known
    silent = PodReport(digests_complete=True, models=())
    assert complete(known, (make_pod(),), {"uid-a": silent}) == known
