"""Every wish for a GPU on 300 nodes, by the real scheduler: it lands where it may, or is told why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from hack.cluster.kwok import create_nodes, delete_nodes
from tests.integration.operator.conftest import Kube, OperatorFactory
from tests.integration.operator.gpu_fleet import DEVICE_CLASS, make_fleet, make_slice
from tests.support.operator_process import wait_until
from tests.unit.operator.explain.placement.scheduler import fits

from modelservice_operator.facts.nodes import Node, read_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

IMAGE = "registry.example/runtime:1"
LARGE = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('{}Gi')) >= 0"
TOLERANT = {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}


def claim(gibibytes: int) -> dict[str, Any]:
    selectors = [{"cel": {"expression": LARGE.format(gibibytes)}}]
    return {"count": 1, "claim": {"deviceClassName": "gpu.nvidia.com", "selectors": selectors}}


PLACED: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    # name: (fields, pods, kinds of nodes on which they may be)
    "none": ({}, 3, {"plain", "flex", "max"}),
    "any": (
        {"gpu": {"count": 1}},
        3,
        {"l4", "a100", "aks", "sliced"},
    ),
    "memory": ({"gpu": {"count": 1, "memory": "22Gi"}}, 6, {"l4", "a100"}),
    "large": ({"gpu": {"count": 1, "memory": "30Gi"}, "scheduling": TOLERANT}, 8, {"a100", "ml"}),
    "product": ({"gpu": {"count": 1, "product": "NVIDIA-L4"}}, 3, {"l4"}),
    "slice": ({"gpu": {"count": 1, "migProfile": "1g.10gb"}}, 3, {"slices"}),
    "sliced": (
        {"gpu": {"count": 1, "product": "Tesla-T4", "sharing": {"memoryLimit": "3Gi"}}},
        3,
        {"sliced"},
    ),
    "mps": (
        {
            "gpu": {
                "count": 1,
                "resource": "nvidia.com/gpu.shared",
                "sharing": {"strategy": "MPS", "memoryLimit": "3Gi"},
            }
        },
        3,
        {"mps"},
    ),
    "amd": ({"gpu": {"count": 1, "resource": "amd.com/gpu", "memory": "64Gi"}}, 3, {"mi300x"}),
    "radeon": (
        {"gpu": {"count": 1, "resource": "amd.com/gpu", "product": "AMD_Radeon_Pro_W6800"}},
        2,
        {"radeon"},
    ),
    "xe": ({"gpu": {"count": 1, "resource": "gpu.intel.com/xe", "product": "Flex_170"}}, 2, {"flex"}),
    "i915": ({"gpu": {"count": 1, "resource": "gpu.intel.com/i915"}}, 2, {"max"}),
    "aks": ({"gpu": {"count": 1}, "scheduling": {"nodeSelector": {"pool": "aks"}}}, 2, {"aks"}),
    "device": ({"gpu": claim(60)}, 1, {"dra"}),
}

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    # name: (fields, what is said)
    "too-large": (
        {"gpu": {"count": 1, "memory": "80Gi"}},
        "12 with NVIDIA-A100-SXM4-40GB (40Gi of 80Gi), ",
    ),
    "no-product": (
        {"gpu": {"count": 1, "product": "NVIDIA-H100"}},
        "Nearest: spec.gpu.product: NVIDIA-L4 fits 40 nodes, 1 more with a toleration of dedicated=ml:",
    ),
    "no-slice": (
        {"gpu": {"count": 1, "migProfile": "3g.40gb"}},
        "Nearest: spec.gpu.resource: nvidia.com/gpu in place of the MIG profile fits 64 nodes",
    ),
    "no-zone": (
        {"gpu": {"count": 1, "resource": "amd.com/gpu"}, "scheduling": {"nodeSelector": {"zone": "z"}}},
        "20 without the label zone=z. Nearest: a spec.scheduling.nodeSelector without zone=z fits 20 nodes.",
    ),
    "no-memory-of-amd": (
        {"gpu": {"count": 1, "resource": "amd.com/gpu", "memory": "256Gi"}},
        "Nearest: spec.gpu.memory: 192Gi fits 10 nodes.",
    ),
    "dedicated": (
        {"gpu": {"count": 1}, "scheduling": {"nodeSelector": {"kind": "ml"}}},
        "8 with the taint dedicated=ml:NoSchedule. Nearest: a toleration of dedicated=ml:NoSchedule fits 8 ",
    ),
    "no-cpu": (
        {"resources": {"requests": {"cpu": "64"}}},
        "with less cpu than 64. Nearest: spec.resources.requests.cpu of at most 32 fits",
    ),
    "no-device": ({"gpu": claim(200)}, "No free device does for spec.gpu: "),
}


@pytest.fixture(scope="module")
def fleet(installed: Cluster) -> Iterator[None]:
    """The nodes, the devices of two of them, and a ModelRuntime with an image for each vendor."""
    nodes = list(make_fleet("fleet"))
    create_nodes(installed.api, nodes)
    slices = [make_slice("fleet-dra-0", 24), make_slice("fleet-dra-1", 80)]
    for body in (DEVICE_CLASS, *slices):
        installed.api.apply(body)
    images = {"amd.com": f"{IMAGE}-amd", "gpu.intel.com": f"{IMAGE}-intel"}
    runtime = {"kind": "ModelRuntime", "metadata": {"name": "fleet"}}
    spec = {"image": IMAGE, "gpuImage": f"{IMAGE}-gpu", "gpuImages": images}
    installed.api.apply({"apiVersion": "modelservice.dev/v1alpha1", **runtime, "spec": spec})
    yield
    installed.api.delete("/apis/modelservice.dev/v1alpha1/modelruntimes/fleet")
    for body in (DEVICE_CLASS, *slices):
        installed.api.delete(installed.api.path_of(body))
    delete_nodes(installed.api, nodes)


@pytest.fixture(scope="module")
def kube(installed: Cluster, fleet: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """All services at once, so that their pods meet on the nodes."""
    with (
        testing.fresh_namespace(installed.api) as namespace,
        OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator")) as factory,
    ):
        factory().start().wait_leading()
        kube = Kube(installed.api, namespace)
        for name, (fields, replicas, _) in PLACED.items():
            kube.apply_service(name, runtime={"ref": "fleet"}, replicas=replicas, **fields)
        for name, (fields, _) in IMPOSSIBLE.items():
            kube.apply_service(name, runtime={"ref": "fleet"}, **fields)
        yield kube


def nodes_by_name(api: Api) -> dict[str, Node]:
    return {one["metadata"]["name"]: read_node(one) for one in api.get("/api/v1/nodes")["items"]}


def pods_of(kube: Any, name: str) -> list[dict[str, Any]]:
    selector = f"?labelSelector=modelservice.dev%2Fname%3D{name}"
    found: list[dict[str, Any]] = kube.api.get(kube.path("pods") + selector)["items"]
    return found


def test_every_pod_lands_where_it_may(kube) -> None:
    for name in PLACED:
        kube.wait_ready(name)
    nodes = nodes_by_name(kube.api)

    for name, (_, replicas, kinds) in PLACED.items():
        homes = [nodes[pod["spec"]["nodeName"]] for pod in pods_of(kube, name)]
        assert len(homes) == replicas
        assert {home.labels.get("kind", "plain") for home in homes} <= kinds, name
        for pod, home in zip(pods_of(kube, name), homes, strict=True):
            assert fits(pod["spec"], home), (name, home.name)


def test_impossible_wishes_are_told_what_is_missing_and_what_is_nearest(kube) -> None:
    nodes = list(nodes_by_name(kube.api).values())
    for name, (_, said) in IMPOSSIBLE.items():
        message = kube.wait_reason("Unschedulable", name)["message"]
        assert said in message, name
        (pod,) = pods_of(kube, name)
        if name == "no-device":
            continue
        assert not any(fits(pod["spec"], node) for node in nodes)
        assert message.startswith(f"None of {len(nodes)} nodes fits: "), name


def test_the_device_of_a_claim_is_the_one_that_fulfils_it(kube) -> None:
    kube.wait_ready("device")

    (pod,) = pods_of(kube, "device")
    assert pod["spec"]["nodeName"] == "fleet-dra-1"
    (status,) = pod["status"]["resourceClaimStatuses"]
    claims = f"/apis/resource.k8s.io/v1/namespaces/{kube.namespace}/resourceclaims"
    found = kube.api.get(f"{claims}/{status['resourceClaimName']}")
    (result,) = found["status"]["allocation"]["devices"]["results"]
    assert (result["driver"], result["pool"]) == ("gpu.nvidia.com", "fleet-dra-1")


def test_the_preferred_product_is_taken_while_it_is_free(kube) -> None:
    gpu = {"count": 1, "products": ["NVIDIA-A100-SXM4-80GB", "Tesla-V100", "NVIDIA-L4"]}
    kube.apply_service("preferred", runtime={"ref": "fleet"}, gpu=gpu)
    kube.wait_ready("preferred")

    (pod,) = pods_of(kube, "preferred")
    home = nodes_by_name(kube.api)[pod["spec"]["nodeName"]]
    # The most wanted has slices alone.
    assert home.labels["nvidia.com/gpu.product"] == "Tesla-V100"


def test_a_pod_of_higher_priority_takes_the_only_gpu(kube) -> None:
    urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    kube.api.apply({**urgent, "metadata": {"name": f"urgent-{kube.namespace}"}})
    only = {"nodeSelector": {"pool": "one"}, **TOLERANT}
    wish = {"runtime": {"ref": "fleet"}, "gpu": {"count": 1}}
    kube.apply_service("patient", scheduling=only, **wish)
    kube.wait_ready("patient")

    high = {**only, "priorityClassName": f"urgent-{kube.namespace}"}
    kube.apply_service("urgent", scheduling=high, **wish)

    kube.wait_ready("urgent")
    assert [pod["spec"]["nodeName"] for pod in pods_of(kube, "urgent")] == ["fleet-one-0"]
    message = kube.wait_reason("Unschedulable", "patient")["message"]
    assert "1 of " in message
    assert "would do, had they room." in message
    wait_until(lambda: len(pods_of(kube, "patient")) == 1, "the evicted pod is gone")
    kube.api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/urgent-{kube.namespace}")
