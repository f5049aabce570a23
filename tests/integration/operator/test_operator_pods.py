"""Pods that fail, and pods that come and go: what is told of them, and that nothing watches them at rest."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.fault_proxy import Rule
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = "/api/v1/nodes"
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume exceeds the limit"}


@contextlib.contextmanager
def cordoned(kube: Any) -> Iterator[None]:
    """Every node takes no new pods."""
    paths = [f"{NODES}/{node['metadata']['name']}" for node in kube.api.get(NODES)["items"]]
    try:
        for path in paths:
            kube.api.patch(path, {"spec": {"unschedulable": True}})
        yield
    finally:
        for path in paths:
            kube.api.patch(path, {"spec": {"unschedulable": None}})


def pods_of(kube: Any, name: str) -> list[dict[str, Any]]:
    return [
        pod for pod in kube.items("pods") if pod["metadata"]["labels"].get("modelservice.dev/name") == name
    ]


def status_of(kube: Any, name: str, *kinds: str) -> tuple[str, ...]:
    """Of one reading, so that two conditions are of the same moment."""
    conditions = {one["type"]: one["status"] for one in kube.service(name)["status"]["conditions"]}
    return tuple(conditions[kind] for kind in kinds)


def evict(kube: Any, name: str) -> None:
    (pod,) = pods_of(kube, name)
    kube.api.patch(kube.path("pods", pod["metadata"]["name"]) + "/status", {"status": EVICTED})

    def is_replaced() -> bool:
        found = status_of(kube, name, "Ready", "Degraded")
        assert found != ("True", "True")
        return len(pods_of(kube, name)) > 1 and found == ("True", "False")

    wait_until(is_replaced, "ready again, by a new pod")


def test_pod_that_was_replaced_is_forgotten_and_does_not_hide_the_next_problem(shared):
    kube, name = shared.kube, "evicted"
    kube.apply_service(name)
    kube.wait_ready(name)
    evict(kube, name)
    with cordoned(kube):
        kube.apply_service(name, replicas=2)
        assert "Evicted" not in kube.wait_reason("Unschedulable", name)["message"]
    kube.wait_ready(name)
    assert status_of(kube, name, "Ready", "Degraded") == ("True", "False")


def test_pods_are_watched_for_as_long_as_their_service_waits(shared):
    kube, name, operator = shared.kube, "watched", shared.operator
    kube.apply_service(name, scheduling={"nodeSelector": {"no": "such-node"}})
    kube.wait_reason("Unschedulable", name)
    wait_until(
        lambda: operator.metric("modelservice_operator_pod_watches") == 1, "nobody else's pods are watched"
    )
    lists = operator.metric("modelservice_operator_api_requests_total", method="GET", resource="pods")
    (pod,) = pods_of(kube, name)
    # A change of a pod that only a watch brings within the patience of this test: nothing else happens.
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    scheduled = {"type": "PodScheduled", "status": "True", "reason": None, "message": None}
    server = {"name": "server", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    status = {"conditions": [scheduled], "containerStatuses": [{**server, "state": {"waiting": waiting}}]}
    kube.api.patch(kube.path("pods", pod["metadata"]["name"]) + "/status", {"status": status})
    kube.wait_reason("ImagePullFailed", name)
    assert operator.metric("modelservice_operator_api_requests_total", method="GET", resource="pods") == lists
    kube.apply_service(name)
    kube.wait_ready(name)
    wait_until(
        lambda: operator.metric("modelservice_operator_pod_watches") == 0, "nothing is watched at rest"
    )


def test_watch_that_is_refused_is_made_up_for_by_looking_now_and_then(shared, proxy_rule_for_pod_watches):
    kube, name = shared.kube, "refused"
    kube.apply_service(name, scheduling={"nodeSelector": {"no": "such-node"}})
    kube.wait_reason("Unschedulable", name)
    wait_until(
        lambda: shared.operator.metric("modelservice_operator_pod_watches") == 0, "the watch was refused"
    )
    kube.apply_service(name)
    kube.wait_ready(name)


@pytest.fixture
def proxy_rule_for_pod_watches(shared):
    """As from an API server whose ClusterRole is that of an older version."""
    rule = Rule(lambda request: request.is_watch and request.path.endswith("/pods"), "refuse", status=403)
    shared.proxy.add(rule)
    yield
    shared.proxy.clear()
    assert rule.used
