"""Fake nodes: real objects for the scheduler, with kwok in the place of a kubelet.

Pods scheduled there become Running and Ready without a container; see https://kwok.sigs.k8s.io.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hack.cluster.api import Api, Object, condition_status
from hack.cluster.components import FAKE_NODE_ANNOTATION

GPU_RESOURCE = "nvidia.com/gpu"
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
GPU_TAINT = {"key": GPU_RESOURCE, "value": "present", "effect": "NoSchedule"}
DEFAULT_CAPACITY = {"cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "500"}
READY_TIMEOUT_SECONDS = 60.0
CONCURRENT_CALLS = 8


def make_fake_node(
    name: str,
    *,
    capacity: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
) -> Object:
    """Return a node that kwok plays; `capacity` adds to or replaces parts of DEFAULT_CAPACITY."""
    resources = {**DEFAULT_CAPACITY, **(capacity or {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {FAKE_NODE_ANNOTATION: "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "type": "kwok",
                **(labels or {}),
            },
        },
        "spec": {"taints": [dict(taint) for taint in taints]},
        "status": {"capacity": resources, "allocatable": dict(resources)},
    }


def make_gpu_node(name: str, *, product: str, count: int = 1, resource: str = GPU_RESOURCE) -> Object:
    """Return a fake node with `count` GPUs (or another resource), the product label and the GPU taint."""
    return make_fake_node(
        name,
        capacity={resource: str(count)},
        labels={GPU_PRODUCT_LABEL: product},
        taints=[GPU_TAINT],
    )


def create_nodes(api: Api, nodes: Sequence[Object]) -> None:
    """Create the nodes that do not exist yet and wait until all are Ready."""
    wanted = {node["metadata"]["name"] for node in nodes}
    known = {node["metadata"]["name"] for node in api.get("/api/v1/nodes")["items"]}
    with ThreadPoolExecutor(CONCURRENT_CALLS) as pool:
        missing = [node for node in nodes if node["metadata"]["name"] not in known]
        list(pool.map(lambda node: api.create("/api/v1/nodes", node), missing))
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while waiting := wanted - _schedulable(api):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"nodes that are not Ready after {READY_TIMEOUT_SECONDS:.0f} s: {sorted(waiting)}"
            )
        time.sleep(0.2)


def delete_nodes(api: Api, nodes: Sequence[Object]) -> None:
    """Delete these nodes, as far as they are there."""
    with ThreadPoolExecutor(CONCURRENT_CALLS) as pool:
        list(pool.map(lambda node: api.delete(f"/api/v1/nodes/{node['metadata']['name']}"), nodes))


def _schedulable(api: Api) -> set[str]:
    return {node["metadata"]["name"] for node in api.get("/api/v1/nodes")["items"] if is_schedulable(node)}


def is_schedulable(node: Mapping[str, Any]) -> bool:
    """Return whether a node is Ready and no longer carries the taints that Kubernetes gives a new node."""
    taints = node.get("spec", {}).get("taints", [])
    starting = any(taint["key"].startswith("node.kubernetes.io/") for taint in taints)
    return condition_status(node, "Ready") == "True" and not starting


def add_extended_resource(api: Api, node: str, resource: str, count: int) -> None:
    """Give a node `count` of an extended resource that no device backs; the kubelet keeps it."""
    escaped = resource.replace("~", "~0").replace("/", "~1")
    patch = [
        {"op": "add", "path": f"/status/{field}/{escaped}", "value": str(count)}
        for field in ("capacity", "allocatable")
    ]
    api.patch(f"/api/v1/nodes/{node}/status", patch, kind="json")
