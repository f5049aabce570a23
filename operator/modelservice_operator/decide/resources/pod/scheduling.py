"""On which nodes the pods may run: GPUs, selectors, tolerations, affinity and spreading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.resources.metadata import revision_selector
from modelservice_operator.decide.resources.trim import without_empty

if TYPE_CHECKING:
    from modelservice_operator.api import GpuSpec, ModelServiceSpec

_NVIDIA = "nvidia.com"
_AMD_PRODUCT = "amd.com/gpu.product-name"
"""Set by AMD's node labeller (github.com/ROCm/k8s-device-plugin); the others follow NVIDIA's form."""
_SPREAD_OVER = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
_WHEN_UNSATISFIABLE = {"Preferred": "ScheduleAnyway", "Required": "DoNotSchedule"}


def scheduling_fields(service: str, revision: str, spec: ModelServiceSpec) -> dict[str, Any]:
    """Return the fields of a pod spec that place the pod; empty ones are left out."""
    wanted = spec.scheduling
    fields = {
        "nodeSelector": {**wanted.node_selector, **_product_selector(spec.gpu)},
        "tolerations": _tolerations(spec),
        "affinity": without_empty(wanted.affinity.to_dict()) if wanted.affinity else {},
        "priorityClassName": wanted.priority_class_name,
        "topologySpreadConstraints": _spread(service, revision, wanted.topology_spread),
    }
    return {name: value for name, value in fields.items() if value}


def _vendor(resource: str) -> str:
    return resource.partition("/")[0]


def _product_selector(gpu: GpuSpec | None) -> dict[str, str]:
    if gpu is None or gpu.product is None:
        return {}
    vendor = _vendor(gpu.resource)
    return {_AMD_PRODUCT if vendor == "amd.com" else f"{vendor}/gpu.product": gpu.product}


def _tolerations(spec: ModelServiceSpec) -> list[dict[str, Any]]:
    wanted = [
        {key: value for key, value in toleration.to_dict().items() if value != ""}
        for toleration in spec.scheduling.tolerations
    ]
    return wanted + [taint for taint in _gpu_tolerations(spec.gpu) if taint not in wanted]


def _gpu_tolerations(gpu: GpuSpec | None) -> list[dict[str, Any]]:
    """Tolerate the taint that keeps other pods off GPU nodes: it has the resource's own name.

    Nodes that offer MIG slices carry the taint of the whole GPU.
    """
    if gpu is None:
        return []
    keys = [gpu.resource]
    if _vendor(gpu.resource) == _NVIDIA and gpu.resource != f"{_NVIDIA}/gpu":
        keys.append(f"{_NVIDIA}/gpu")
    return [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]


def _spread(service: str, revision: str, mode: str) -> list[dict[str, Any]]:
    if mode not in _WHEN_UNSATISFIABLE:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": _WHEN_UNSATISFIABLE[mode],
            "labelSelector": {"matchLabels": revision_selector(service, revision)},
        }
        for key in _SPREAD_OVER
    ]
