"""Changes where there is no room for one more pod: quotas and nodes that are exactly full."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.operator_process import wait_until
from tests.support.played_node import played_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.played_node import PlayedNode

ONE_BY_ONE = {"maxSurge": 0, "maxUnavailable": 1}


@pytest.fixture
def node(kube) -> Iterator[PlayedNode]:
    """A node of this test's own."""
    with played_node(kube.api, kube.namespace) as node:
        yield node


@contextlib.contextmanager
def quota(kube: Any, **hard: str) -> Iterator[None]:
    """A ResourceQuota on the namespace, in effect."""
    path = kube.path("resourcequotas")
    kube.api.create(path, {"metadata": {"name": "tight"}, "spec": {"hard": hard}})
    kube.api.wait_for(f"{path}/tight", lambda found: found.get("status", {}).get("used"), what="counted")
    try:
        yield
    finally:
        kube.api.delete(f"{path}/tight")


def refusals(kube: Any) -> list[str]:
    """What ReplicaSets were told that could not create pods."""
    return [event["message"] for event in kube.items("events") if event["reason"] == "FailedCreate"]


def replicas(kube: Any) -> dict[str, int]:
    """What the operator wants of each revision."""
    return {
        one["metadata"]["labels"]["modelservice.dev/revision"]: one["spec"]["replicas"]
        for one in kube.items("deployments")
    }


def test_without_a_surge_a_new_pod_is_asked_for_only_when_the_old_one_is_gone(kube, make_operator, node):
    operator = make_operator().start()
    spec = {"rollout": ONE_BY_ONE, "scheduling": node.scheduling}
    kube.apply_service(**spec)
    wait_until(node.pods, "a pod is scheduled")
    node.start_pods()
    old = kube.wait_ready()["status"]["stableRevision"]
    with quota(kube, pods="1"):
        kube.apply_service(tag="2", **spec)
        wait_until(lambda: node.pods(leaving=True), "the old pod is being stopped")
        operator.wait_at_rest()
        new = kube.service()["status"]["targetRevision"]
        assert replicas(kube) == {old: 0, new: 0}
        assert refusals(kube) == []
        node.end_pods()
        wait_until(node.pods, "the new pod is scheduled")
        node.start_pods()
        assert kube.wait_ready()["status"]["stableRevision"] == new
