"""Changes where there is no room for one more pod: quotas and nodes that are exactly full."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.api import condition_status
from hack.cluster.kwok import create_nodes, make_gpu_node
from tests.support.operator_process import wait_until
from tests.support.played_node import played_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.cluster import Cluster
    from tests.support.played_node import PlayedNode

ONE_BY_ONE = {"maxSurge": 0, "maxUnavailable": 1}
SOON = {"surgeProbeSeconds": 2}
GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module", autouse=True)
def gpu_runtime(installed: Cluster) -> None:
    """A ModelRuntime for pods with a GPU."""
    image = "registry.example/modelservice-runtime:1"
    installed.api.apply(
        {
            "apiVersion": "modelservice.dev/v1alpha1",
            "kind": "ModelRuntime",
            "metadata": {"name": "gpu"},
            "spec": {"image": image, "gpuImage": f"{image}-gpu"},
        }
    )


@pytest.fixture
def node(shared) -> Iterator[PlayedNode]:
    """A node of this test's own."""
    with played_node(shared.kube.api, shared.kube.namespace) as node:
        yield node


@contextlib.contextmanager
def exact_quota(kube: Any) -> Iterator[None]:
    """A ResourceQuota of as many pods as the namespace has now."""
    path = kube.path("resourcequotas")
    hard = {"pods": str(len(kube.api.get(kube.path("pods"))["items"]))}
    kube.api.create(path, {"metadata": {"name": "tight"}, "spec": {"hard": hard}})
    kube.api.wait_for(
        f"{path}/tight", lambda found: found.get("status", {}).get("used") == hard, what="counted"
    )
    try:
        yield
    finally:
        kube.api.delete(f"{path}/tight")


def refusals(kube: Any, revision: str) -> list[str]:
    """What ReplicaSets of a revision were told that could not create pods."""
    return [
        event["message"]
        for event in kube.items("events")
        if event["reason"] == "FailedCreate" and revision in event["involvedObject"]["name"]
    ]


def replicas(kube: Any, name: str) -> dict[str, int]:
    """What the operator wants of each revision of a service."""
    wanted = {one["metadata"]["name"]: one["spec"]["replicas"] for one in kube.items("deployments")}
    return {one[len(name) + 1 :]: count for one, count in wanted.items() if one.startswith(f"{name}-")}


def leaving_of(kube: Any, name: str, revision: str) -> int:
    """Pods of a revision that are being stopped, as its Deployment counts them."""
    status = kube.api.get(kube.path("deployments", f"{name}-{revision}"))["status"]
    return int(status.get("terminatingReplicas", 0))


@pytest.fixture(scope="module")
def make_service(shared) -> Iterator[Callable[..., GpuService]]:
    """Make a service on a node with as many GPUs as it asks for pods, or with `spare` more."""
    kube, made = shared.kube, []

    def make(name: str, *, replicas: int, spare: int = 0, **rollout: Any) -> GpuService:
        product = f"{name}-{kube.namespace}"
        create_nodes(kube.api, [make_gpu_node(product, product=product, count=replicas + spare)])
        made.append(product)
        service = GpuService(kube, name, replicas, product, {**SOON, **rollout})
        service.apply("1")
        return service

    yield make
    for name in made:
        kube.api.delete(f"/api/v1/nodes/{name}")


@pytest.fixture(scope="module")
def changed(shared, make_service) -> dict[str, GpuService]:
    """Services that were changed, each looked at until it is where it stays: together, to save time."""
    services = (
        make_service("full", replicas=2),
        make_service("spare", replicas=2, spare=1, surgeProbeSeconds=3600),
        make_service("only", replicas=1),
        make_service("recreated", replicas=2, strategy="Recreate"),
    )
    for service in services:
        shared.kube.wait_ready(service.name)
    for service in services:
        service.apply("2")
    wait_until(lambda: sum(service.look() for service in services) == len(services), "all stay as they are")
    return {service.name: service for service in services}


@dataclass
class GpuService:
    """A service whose pods find room on one node only; `fewest` were ready at any time."""

    kube: Any
    name: str
    replicas: int
    product: str
    rollout: dict[str, Any]
    fewest: int = 99

    def apply(self, tag: str, **rollout: Any) -> None:
        """Apply it with another model."""
        self.rollout |= rollout
        gpu = {"count": 1, "resource": GPU, "product": self.product}
        self.kube.apply_service(
            self.name, tag, replicas=self.replicas, gpu=gpu, rollout=self.rollout, runtime={"ref": "gpu"}
        )

    def pods(self) -> list[dict[str, Any]]:
        """Its pods, those that are being stopped too."""
        pods = self.kube.api.get(self.kube.path("pods"))["items"]
        return [pod for pod in pods if pod["metadata"]["labels"]["modelservice.dev/name"] == self.name]

    def look(self) -> bool:
        """Count the pods that are ready now; whether the change is complete, or held."""
        staying = [pod for pod in self.pods() if "deletionTimestamp" not in pod["metadata"]]
        ready = sum(condition_status(pod, "Ready") == "True" for pod in staying)
        self.fewest = min(self.fewest, ready)
        held = self.kube.condition("Ready", self.name).get("reason") == "InsufficientCapacity"
        return held or bool(self.kube.is_ready(self.name))

    def pending(self) -> list[str]:
        """Names of the pods that no node has taken."""
        return [pod["metadata"]["name"] for pod in self.pods() if not pod["spec"].get("nodeName")]


def test_change_on_a_node_with_as_many_gpus_as_replicas_finishes(changed):
    service = changed["full"]

    assert service.kube.is_ready("full")
    assert service.fewest >= 1
    assert service.pending() == []
    assert not {"capacity", "startedAt"} & service.kube.service("full")["status"]["rollout"].keys()


def test_change_with_room_for_the_surge_takes_no_pod_away(changed):
    assert changed["spare"].kube.is_ready("spare")
    assert changed["spare"].fewest == 2


def test_recreate_finishes_where_there_is_no_room_for_a_surge(changed):
    assert changed["recreated"].kube.is_ready("recreated")
    assert changed["recreated"].pending() == []


def test_change_of_the_only_pod_without_room_is_held_until_downtime_is_allowed(changed):
    service = changed["only"]
    kube, name = service.kube, service.name
    old = kube.service(name)["status"]["stableRevision"]
    message = kube.condition("Ready", name)["message"]
    assert "Insufficient nvidia.com/gpu" in message
    assert "allowDowntime" in message
    wait_until(lambda: len(service.pods()) == 1, "nothing is left that waits for room")
    assert service.pending() == []
    assert service.fewest == 1

    service.apply("2", allowDowntime=True)

    assert kube.wait_ready(name)["status"]["stableRevision"] != old
    assert service.pending() == []


def test_change_waits_for_a_node_that_a_cluster_autoscaler_adds(make_service, shared):
    service, kube = make_service("scaled-up", replicas=1, surgeProbeSeconds=3600), shared.kube
    kube.wait_ready(service.name)
    service.apply("2")
    wait_until(service.pending, "the new pod finds no room")
    (pod,) = [one for one in service.pods() if one["metadata"]["name"] in service.pending()]
    kube.api.create(kube.path("events"), scale_up_of(pod))
    wait_until(lambda: "autoscaler" in kube.condition("Ready", service.name).get("message", ""), "it is told")
    service.apply("2", surgeProbeSeconds=0)
    kube.wait_observed(service.name)
    assert "surge" not in kube.service(service.name)["status"]["rollout"]["capacity"]
    assert service.pending() == [pod["metadata"]["name"]]
    other = f"{service.product}-2"
    create_nodes(kube.api, [make_gpu_node(other, product=service.product, count=1)])
    wait_until(service.look, "the change is complete")
    kube.api.delete(f"/api/v1/nodes/{other}")

    assert service.fewest >= 1


def scale_up_of(pod: dict[str, Any]) -> dict[str, Any]:
    """The event of the Kubernetes cluster autoscaler for a pod for which it adds a node."""
    metadata = pod["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"generateName": "scale-up-"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            **{field: metadata[field] for field in ("name", "namespace", "uid")},
        },
        "type": "Normal",
        "reason": "TriggeredScaleUp",
        "message": "pod triggered scale-up: [{gpus 1->2 (max: 4)}]",
        "source": {"component": "cluster-autoscaler"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def test_change_under_a_quota_of_as_many_pods_as_there_are_finishes(shared):
    kube, name = shared.kube, "bounded"
    kube.apply_service(name, replicas=2, rollout=SOON)
    old = kube.wait_ready(name)["status"]["stableRevision"]
    with exact_quota(kube):
        kube.apply_service(name, tag="2", replicas=2, rollout=SOON)
        assert kube.wait_ready(name)["status"]["stableRevision"] != old


def test_without_a_surge_a_new_pod_is_asked_for_only_when_the_old_one_is_gone(shared, node):
    kube, name = shared.kube, "one-by-one"
    spec = {"rollout": ONE_BY_ONE, "scheduling": node.scheduling}
    kube.apply_service(name, **spec)
    wait_until(node.pods, "a pod is scheduled")
    node.start_pods()
    old = kube.wait_ready(name)["status"]["stableRevision"]
    with exact_quota(kube):
        kube.apply_service(name, tag="2", **spec)
        wait_until(lambda: node.pods(leaving=True), "the old pod is being stopped")
        wait_until(lambda: leaving_of(kube, name, old) == 1, "its Deployment says so")
        shared.operator.wait_at_rest(1.0)
        new = kube.service(name)["status"]["targetRevision"]
        assert replicas(kube, name) == {old: 0, new: 0}
        assert refusals(kube, new) == []
        node.end_pods()
        wait_until(node.pods, "the new pod is scheduled")
        node.start_pods()
        assert kube.wait_ready(name)["status"]["stableRevision"] == new
