"""300 nodes of every kind that the rules about GPUs tell apart, labelled as feature discovery does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hack.cluster.kwok import make_fake_node

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]

NVIDIA_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
AMD_TAINT = {"key": "amd.com/gpu", "value": "present", "effect": "NoSchedule"}
DEDICATED = {"key": "dedicated", "value": "ml", "effect": "NoSchedule"}
AKS_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def nvidia(product: str, mebibytes: int, sharing: str = "none") -> dict[str, str]:
    """Labels of gpu-feature-discovery."""
    return {
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.memory": str(mebibytes),
        "nvidia.com/gpu.sharing-strategy": sharing,
    }


KINDS: dict[str, tuple[int, dict[str, str], dict[str, str], tuple[dict[str, str], ...]]] = {
    # name: (how many, resources, labels, taints)
    "plain": (120, {}, {}, ()),
    "l4": (40, {"nvidia.com/gpu": "1"}, nvidia("NVIDIA-L4", 23034), (NVIDIA_TAINT,)),
    "a100": (4, {"nvidia.com/gpu": "1"}, nvidia("NVIDIA-A100-SXM4-40GB", 40960), (NVIDIA_TAINT,)),
    "ml": (
        8,
        {"nvidia.com/gpu": "1"},
        nvidia("NVIDIA-A100-SXM4-40GB", 40960),
        (NVIDIA_TAINT, DEDICATED),
    ),
    "aks": (10, {"nvidia.com/gpu": "1"}, {**nvidia("Tesla-V100", 16384), "pool": "aks"}, (AKS_TAINT,)),
    "slices": (20, {"nvidia.com/mig-1g.10gb": "7"}, nvidia("NVIDIA-A100-SXM4-80GB", 81920), (NVIDIA_TAINT,)),
    "sliced": (
        10,
        {"nvidia.com/gpu": "4"},
        nvidia("Tesla-T4-SHARED", 15360, "time-slicing"),
        (NVIDIA_TAINT,),
    ),
    "mps": (10, {"nvidia.com/gpu.shared": "4"}, nvidia("Tesla-T4", 15360, "mps"), (NVIDIA_TAINT,)),
    "mi300x": (
        10,
        {"amd.com/gpu": "8"},
        {"amd.com/gpu.vram": "192G", "amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        (AMD_TAINT,),
    ),
    "radeon": (
        10,
        {"amd.com/gpu": "1"},
        {"amd.com/gpu.vram": "16G", "amd.com/gpu.product-name": "AMD_Radeon_Pro_W6800"},
        (AMD_TAINT,),
    ),
    "flex": (8, {"gpu.intel.com/xe": "1"}, {"gpu.intel.com/product": "Flex_170"}, ()),
    "max": (8, {"gpu.intel.com/i915": "1"}, {"gpu.intel.com/product": "Max_1100"}, ()),
    "dra": (2, {}, {}, (NVIDIA_TAINT,)),
    "one": (1, {"nvidia.com/gpu": "1"}, {**nvidia("NVIDIA-L4", 23034), "pool": "one"}, (DEDICATED,)),
    "tainted": (39, {}, {"pool": "other"}, (DEDICATED,)),
}


def make_fleet(prefix: str) -> Iterator[Object]:
    """Yield the nodes; each carries the label `kind`, and they are in three zones."""
    for kind, (count, resources, labels, taints) in KINDS.items():
        for number in range(count):
            zone = {"topology.kubernetes.io/zone": "abc"[number % 3]}
            yield make_fake_node(
                f"{prefix}-{kind}-{number}",
                capacity=resources,
                labels={**labels, **zone, "kind": kind},
                taints=taints,
            )


def make_slice(node: str, gibibytes: int) -> Object:
    """The one GPU that a driver for dynamic resource allocation found on a node."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-gpu"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {
                    "name": "gpu-0",
                    "attributes": {"type": {"string": "gpu"}},
                    "capacity": {"memory": {"value": f"{gibibytes}Gi"}},
                }
            ],
        },
    }


DEVICE_CLASS: Object = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpu.nvidia.com"},
    "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]},
}
