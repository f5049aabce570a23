"""On which nodes a pod's GPU may be: what their labels say, and the taints that keep other pods off. Pure.

What feature discovery writes is in `facts.gpus`. Well-known taints of node pools: GKE's is nvidia.com/gpu,
that of AKS's documentation sku=gpu; EKS sets none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.gpus import (
    AMD,
    DEFAULT_RESOURCE,
    NVIDIA,
    SHARED_PRODUCT_SUFFIX,
    SHARED_SUFFIX,
    SHARING_LABEL,
    SHARING_STRATEGIES,
    domain_of,
)
from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from modelservice_operator.api import GpuSpec
    from modelservice_operator.facts.gpus import Vendor

_POOL_TAINT = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
_MIB = 1 << 20
_GIB = 1 << 30
_FIRST_WEIGHT = 100


def gpu_node_selector(gpu: GpuSpec | None) -> dict[str, str]:
    """Return the label of the one product that will do."""
    if gpu is None or gpu.product is None:
        return {}
    return {_product_label(gpu): _as_labelled(gpu, gpu.product)}


def gpu_requirements(gpu: GpuSpec | None) -> list[dict[str, Any]]:
    """Return what else a node's labels must fulfil, all of it (core/v1 NodeSelectorRequirement)."""
    if gpu is None:
        return []
    wanted: list[dict[str, Any]] = []
    if gpu.products:
        products = [_as_labelled(gpu, one) for one in gpu.products]
        wanted.append({"key": _product_label(gpu), "operator": "In", "values": products})
    if gpu.memory is not None:
        wanted += memory_requirements(gpu.vendor or NVIDIA, parse_quantity(gpu.memory))
    if gpu.sharing is not None:
        names = [gpu.sharing.strategy] if gpu.sharing.strategy else [*SHARING_STRATEGIES]
        values = [SHARING_STRATEGIES[one] for one in names]
        wanted.append({"key": SHARING_LABEL, "operator": "In", "values": values})
    return wanted


def gpu_preferences(gpu: GpuSpec | None) -> list[dict[str, Any]]:
    """Return the order of the products (core/v1 PreferredSchedulingTerm); the last one needs no weight."""
    products = (gpu.products or ()) if gpu else ()
    return [
        {
            "weight": _FIRST_WEIGHT * (len(products) - 1 - place) // (len(products) - 1),
            "preference": {
                "matchExpressions": [
                    {"key": _product_label(gpu), "operator": "In", "values": [_as_labelled(gpu, product)]}
                ]
            },
        }
        for place, product in enumerate(products[:-1])
        if gpu is not None
    ]


def gpu_tolerations(gpu: GpuSpec | None) -> list[dict[str, Any]]:
    """Tolerate the taints that keep other pods off GPU nodes: a resource's own name, and that of a node pool.

    Nodes that offer MIG slices or shares carry the taint of the whole GPU.
    """
    if gpu is None:
        return []
    if gpu.extended_resource is not None:
        return resource_tolerations(gpu.extended_resource)
    whole = {NVIDIA: DEFAULT_RESOURCE, AMD: "amd.com/gpu"}
    return _tolerations([whole[gpu.vendor]] if gpu.vendor in whole else [])


def resource_tolerations(resource: str) -> list[dict[str, Any]]:
    """Return what pods tolerate that ask for this extended resource."""
    return _tolerations([resource, *([DEFAULT_RESOURCE] if domain_of(resource) == NVIDIA.domain else [])])


def _tolerations(keys: Sequence[str]) -> list[dict[str, Any]]:
    own = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in dict.fromkeys(keys)]
    return [*own, _POOL_TAINT]


def _product_label(gpu: GpuSpec) -> str:
    """Vendors that are not known are taken to follow NVIDIA's form."""
    return gpu.vendor.product_label if gpu.vendor else f"{domain_of(gpu.resource)}/gpu.product"


def _as_labelled(gpu: GpuSpec, product: str) -> str:
    """A shared GPU whose resource keeps its name is labelled as another product."""
    is_marked = product.endswith(SHARED_PRODUCT_SUFFIX) or gpu.resource.endswith(SHARED_SUFFIX)
    return product if gpu.sharing is None or is_marked else f"{product}{SHARED_PRODUCT_SUFFIX}"


def memory_requirements(vendor: Vendor, wanted_bytes: Decimal) -> list[dict[str, Any]]:
    """Return what the label of a node with so much must say.

    NVIDIA's is a number of MiB; AMD's is text such as 192G, so what is too small is listed.
    """
    if vendor is AMD:
        label, gibibytes = AMD.memory_label, math.ceil(wanted_bytes / _GIB)
        too_small = [f"{one}G" for one in range(1, gibibytes)]
        return [
            {"key": label, "operator": "Exists"},
            *([{"key": label, "operator": "NotIn", "values": too_small}] if too_small else []),
        ]
    least = math.ceil(wanted_bytes / _MIB) - 1
    return [{"key": NVIDIA.memory_label, "operator": "Gt", "values": [str(least)]}]
