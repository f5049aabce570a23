"""Evaluations by Jobs of a real Job controller, on a node whose kubelet is the test: it says what they score.

The program that scores for real is tried in `tests/e2e`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.operator_process import wait_until
from tests.support.played_node import PlayedNode, path_of, played_node, ready_status
from tests.support.watching import CreationWatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EVALUATION_LABEL = "modelservice.dev/evaluation"
DATA = {"storageUri": "oci://registry.example/data/spam@sha256:" + "b" * 64, "file": "rows.csv"}
EVALUATION = {"data": DATA, "maxDrop": "0.01", "min": "0.5"}
BEFORE, BETTER, WORSE, BROKEN = "1", "2", "3", "4"
"""Tags of models."""
SCORES = {
    BEFORE: {"value": 0.9, "rows": 500},
    BETTER: {"value": 0.95, "rows": 500, "stable": 0.9, "bound": -0.01},
    WORSE: {"value": 0.7, "rows": 500, "stable": 0.9, "bound": 0.25},
}
POLL_SECONDS = 0.1


class Kubelet:
    """Starts servers, and lets each Job end with the score of its model."""

    def __init__(self, node: PlayedNode) -> None:
        self._node = node
        self._ends = threading.Event()
        self._done: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="played kubelet", daemon=True)

    def __enter__(self) -> Kubelet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(120)

    def _run(self) -> None:
        while not self._ends.wait(POLL_SECONDS):
            self._node.beat()
            for pod in self._node.pods():
                uid = pod["metadata"]["uid"]
                if "deletionTimestamp" in pod["metadata"]:
                    self._node.api.delete(f"{path_of(pod)}?gracePeriodSeconds=0")
                elif uid not in self._done:
                    is_job = EVALUATION_LABEL in pod["metadata"].get("labels", {})
                    status = ended_status(pod) if is_job else ready_status(pod)
                    self._node.api.patch(f"{path_of(pod)}/status", {"status": status}, kind="strategic-merge")
                    self._done.add(uid)


def ended_status(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a Job's pod at its end."""
    fetch = pod["spec"]["initContainers"][0]["args"]
    score = SCORES.get(fetch[fetch.index("--uri") + 1].rpartition(":")[2])
    container = pod["spec"]["containers"][0]
    refusal = {"reason": "NotScored", "message": "rows.csv has no column 'label'"}
    code, said = (0, score) if score else (2, refusal)
    state = {
        "terminated": {
            "exitCode": code,
            "message": json.dumps(said),
            "reason": "Completed" if score else "Error",
        }
    }
    told = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
    }
    return {"phase": "Succeeded" if score else "Failed", "containerStatuses": [{**told, "state": state}]}


@pytest.fixture(scope="module")
def node(shared: Any) -> Iterator[PlayedNode]:
    with played_node(shared.kube.api, f"evaluated-{shared.kube.namespace}") as node, Kubelet(node):
        yield node


@pytest.fixture
def pods(shared: Any) -> Iterator[CreationWatch]:
    """Counts the pods that clients might find."""
    with CreationWatch(shared.kube.api, shared.kube.path("pods")) as watch:
        yield watch


def apply(shared: Any, node: PlayedNode, name: str, tag: str, **evaluation: Any) -> None:
    rollout = {"contract": "Ignore", "evaluation": {**EVALUATION, **evaluation}}
    shared.kube.apply_service(name, tag, replicas=1, rollout=rollout, scheduling=node.scheduling)


def jobs(shared: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shared.kube.api.get(
        f"/apis/batch/v1/namespaces/{shared.kube.namespace}/jobs"
    )["items"]
    return found


def wait_gone(shared: Any) -> None:
    """Wait until no Job, and no pod of one, is left."""
    kube = shared.kube
    query = f"{kube.path('pods')}?labelSelector={EVALUATION_LABEL}"
    wait_until(lambda: not jobs(shared) and not kube.api.get(query)["items"], "the Job and its pods are gone")


def status_of(shared: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = shared.kube.service(name).get("status", {})
    return found


def wait_aborted(shared: Any, name: str, reason: str) -> dict[str, Any]:
    shared.kube.wait_reason(reason, name)
    wait_gone(shared)
    return status_of(shared, name)["rollout"]


def test_better_model_gets_its_pods_and_a_worse_one_never_does(
    shared: Any, node: PlayedNode, pods: CreationWatch
) -> None:
    apply(shared, node, "judged", BEFORE)
    first = shared.kube.wait_ready("judged")["status"]
    wait_gone(shared)
    assert first["evaluations"][0]["value"] == "0.9"

    apply(shared, node, "judged", BETTER)
    better = shared.kube.wait_ready("judged")["status"]
    assert better["stableRevision"] != first["stableRevision"]
    (verdict,) = [one for one in better["rollout"]["verdicts"] if one["gate"] == "Evaluation"]
    assert (verdict["value"], verdict["stable"], verdict["bound"], verdict["rows"]) == (
        "0.95",
        "0.9",
        "-0.01",
        500,
    )

    shared.operator.wait_at_rest()
    served = pods.count("judged")
    apply(shared, node, "judged", WORSE)
    worse = wait_aborted(shared, "judged", "EvaluationFailed")
    assert (worse["phase"], worse["evaluation"]) == ("Aborted", "Failed")
    status = status_of(shared, "judged")
    assert status["stableRevision"] == better["stableRevision"]
    wait_until(
        lambda: (
            {"EvaluationPassed", "EvaluationFailed"} <= {one["reason"] for one in shared.kube.items("events")}
        ),
        "an event of each verdict",
    )
    shared.operator.wait_at_rest()
    assert pods.count("judged") == served

    shared.proxy.forget()
    shared.operator.wait_at_rest()
    assert shared.proxy.writes() == []


def test_first_model_that_cannot_be_scored_gets_no_pod_until_it_is_tried_again(
    shared: Any, node: PlayedNode, pods: CreationWatch
) -> None:
    apply(shared, node, "first", BROKEN)
    wait_aborted(shared, "first", "EvaluationInconclusive")
    ready = shared.kube.condition("Ready", "first")
    assert "NotScored: rows.csv has no column 'label'" in ready["message"]
    assert pods.count("first") == 0

    target = status_of(shared, "first")["targetRevision"]
    annotation = {"metadata": {"annotations": {"modelservice.dev/rollout-action": f"retry@{target}"}}}
    SCORES[BROKEN] = {"value": 0.8, "rows": 500}
    try:
        shared.kube.api.patch(shared.kube.path("modelservices", "first"), annotation)
        shared.kube.wait_ready("first")
    finally:
        del SCORES[BROKEN]
    assert status_of(shared, "first")["rollout"]["evaluationRetries"] == 1


def test_pod_that_the_quota_forbids_is_told_and_ends_with_the_deadline(shared: Any, node: PlayedNode) -> None:
    apply(shared, node, "tight", BEFORE)
    shared.kube.wait_ready("tight")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": shared.kube.namespace},
    }
    shared.kube.api.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    try:
        apply(shared, node, "tight", BETTER, deadlineSeconds=10)
        wait_until(
            lambda: "exceeded quota" in shared.kube.condition("Ready", "tight")["message"], "it says why"
        )
        wait_aborted(shared, "tight", "EvaluationInconclusive")
    finally:
        shared.kube.api.delete(shared.kube.path("resourcequotas", "none"))
    message = shared.kube.condition("Degraded", "tight")["message"]
    assert "not done in 10 s" in message
    assert "exceeded quota" in message


def test_deleted_service_takes_its_job_along(shared: Any, node: PlayedNode) -> None:
    nowhere = {"nodeSelector": {"example.com/no": "node"}}
    rollout = {"evaluation": EVALUATION}
    shared.kube.apply_service("gone", BEFORE, rollout=rollout, scheduling=nowhere)
    wait_until(
        lambda: "finds no node" in shared.kube.condition("Ready", "gone").get("message", ""), "it says why"
    )

    shared.kube.api.delete(shared.kube.path("modelservices", "gone"))
    wait_gone(shared)


def test_operator_killed_at_any_write_makes_one_job_and_comes_to_the_same_end(
    shared: Any, node: PlayedNode
) -> None:
    kube = shared.kube
    apply(shared, node, "killed", BEFORE)
    kube.wait_ready("killed")
    shared.operator.wait_at_rest()
    with contextlib.ExitStack() as stack:
        path = f"/apis/batch/v1/namespaces/{kube.namespace}/jobs"
        made = stack.enter_context(CreationWatch(kube.api, path))
        for number, action in ((3, "lose-answer"), (5, "lose")):
            before, count = status_of(shared, "killed")["stableRevision"], made.count("killed")
            # A model of its own for each write, which scores as the better one does.
            tag = f"{number}0"
            SCORES[tag] = SCORES[BETTER]
            shared.kill_at_write(number, lambda tag=tag: apply(shared, node, "killed", tag), "killed", action)
            kube.wait_observed("killed")
            kube.wait_ready("killed")
            wait_gone(shared)
            assert status_of(shared, "killed")["stableRevision"] != before
            assert made.count("killed") == count + 1, f"killed at write {number}"
