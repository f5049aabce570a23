"""Makers of GPUs: their resources, the labels of their nodes, the execution providers that run on them.

Sources: NVIDIA's gpu-feature-discovery (`internal/lm` of k8s-device-plugin), AMD's node labeller
(`cmd/k8s-node-labeller` of ROCm/k8s-device-plugin), Intel's rules for node feature discovery
(`deployments/nfd` of intel-device-plugins-for-kubernetes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One maker of GPUs."""

    name: str
    domain: str
    """Of its resources: what stands before the slash."""
    product_label: str
    memory_label: str = ""
    """Empty where its nodes do not tell."""
    providers: tuple[str, ...]
    """Execution providers that run on its GPUs, the usual one first."""


NVIDIA = Vendor(
    name="NVIDIA",
    domain="nvidia.com",
    product_label="nvidia.com/gpu.product",
    memory_label="nvidia.com/gpu.memory",
    providers=("CUDA", "TensorRT"),
)
AMD = Vendor(
    name="AMD",
    domain="amd.com",
    product_label="amd.com/gpu.product-name",
    memory_label="amd.com/gpu.vram",
    providers=("MIGraphX", "ROCm"),
)
INTEL = Vendor(
    name="Intel",
    domain="gpu.intel.com",
    product_label="gpu.intel.com/product",
    providers=("OpenVINO",),
)
VENDORS = (NVIDIA, AMD, INTEL)

DEFAULT_RESOURCE = "nvidia.com/gpu"
SHARED_SUFFIX = ".shared"
"""NVIDIA's device plugin adds it to a resource whose GPUs are shared, with `renameByDefault`."""
SHARED_PRODUCT_SUFFIX = "-SHARED"
"""gpu-feature-discovery adds it to the product of a shared GPU whose resource keeps its name."""
SHARING_LABEL = "nvidia.com/gpu.sharing-strategy"
SHARING_STRATEGIES = {"TimeSlicing": "time-slicing", "MPS": "mps"}
"""By their names here, the label's values; where nothing is shared it says none."""
MIG_PREFIX = "nvidia.com/mig-"
MIG_PROFILE = r"[1-7]g\.[1-9][0-9]{0,2}gb(\+me|\+me\.all|\+gfx|-me)?"
"""As nvidia-smi names them: with or without the media engines, with the graphics engine (NVIDIA's MIG User
Guide, "Supported MIG Profiles")."""

MEMORY_RESOURCES = (DEFAULT_RESOURCE, f"{DEFAULT_RESOURCE}{SHARED_SUFFIX}", "amd.com/gpu")
"""The resources whose devices have as much memory as the node's label says: whole GPUs."""


def domain_of(resource: str) -> str:
    """Return what stands before the slash of a resource."""
    return resource.partition("/")[0]


def vendor_of_resource(resource: str) -> Vendor | None:
    """Return who makes the devices of an extended resource, None where that is not known."""
    return next((one for one in VENDORS if one.domain == domain_of(resource)), None)


def vendor_of_class(device_class: str) -> Vendor | None:
    """Return who makes the devices of a DeviceClass such as gpu.nvidia.com, None for another name."""
    labels = device_class.split(".")
    return next((one for one in VENDORS if one.name.lower() in labels), None)


def mig_resource(profile: str) -> str:
    """Return the resource of a MIG profile: `1g.10gb+me` is `nvidia.com/mig-1g.10gb.me`."""
    return f"{MIG_PREFIX}{profile.replace('+', '.')}"


def mig_profile(resource: str) -> str | None:
    """Return the MIG profile of a resource; None for any other, such as a slice that is shared."""
    profile = re.sub(r"gb\.", "gb+", resource.removeprefix(MIG_PREFIX), count=1)
    is_slice = resource.startswith(MIG_PREFIX) and re.fullmatch(MIG_PROFILE, profile)
    return profile if is_slice else None
