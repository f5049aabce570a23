"""What people ask of a RuntimeRollout before its start, after its end, and when a newer one took over."""

from __future__ import annotations

import pytest
from tests.unit.operator.builders import make_runtime
from tests.unit.operator.decide.fleet.cluster import NEW, OLD, Cluster, make_rollout

HELD = [{"name": "all", "rest": True, "approval": True}]
STARTED = {"status": {"startedAt": "2026-01-02T03:00:00Z", "phase": "Progressing"}}


def answer(cluster: Cluster) -> tuple[bool, str]:
    action = cluster.status["action"]
    return action["accepted"], action["message"]


@pytest.mark.parametrize("spec", [{"paused": True}, {"target": {"runtime": "onnx", "image": NEW}}])
def test_an_approval_before_the_start_holds_after_it(spec: dict[str, object]) -> None:
    cluster = Cluster(2, waves=HELD, **spec)
    cluster.runtimes = [make_runtime(image=OLD)]
    cluster.look()
    assert cluster.status["phase"] in ("Paused", "Pending")
    cluster.ask("approve@all@1")
    cluster.look()
    assert answer(cluster) == (True, "Wave all may start.")
    cluster.runtimes = [make_runtime(image=NEW)]
    cluster.edit(paused=False)
    cluster.look_on()
    assert (cluster.states, cluster.status["phase"]) == ("UU", "Complete")


def test_nothing_is_approved_of_what_is_over() -> None:
    cluster = Cluster(2, waves=HELD)
    cluster.look()
    cluster.ask("abort")
    cluster.look()
    cluster.ask("approve@all@1")
    cluster.look()
    assert answer(cluster) == (False, "Nothing was done: it is over (Aborted).")


@pytest.mark.parametrize("request_", ["approve@all@1", "pause", "resume", "abort", "rollback"])
def test_nothing_is_done_for_a_run_that_a_newer_one_took_over_from(request_: str) -> None:
    cluster = Cluster(2, maxConcurrent=9, maxUnavailable=9)
    cluster.look_on()
    assert cluster.status["phase"] == "Complete"
    cluster.others = [make_rollout("june", age=1) | STARTED]
    cluster.ask(request_)
    cluster.look()
    assert answer(cluster) == (False, "Nothing was done: RuntimeRollout june took over.")
    assert cluster.states == "UU"
