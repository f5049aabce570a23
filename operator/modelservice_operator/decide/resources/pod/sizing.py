"""CPU, memory, GPUs and threads of the pod's containers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.gpus import NVIDIA
from modelservice_operator.facts.text.quantity import canonical_quantity, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_operator.api import GpuSpec, ModelServiceSpec
    from modelservice_operator.decide.revision import RecordedRuntime

Amounts = dict[str, str]
GPU_CLAIM = "gpu"
"""What the pod calls its resource claim."""


def container_resources(spec: ModelServiceSpec, runtime: RecordedRuntime) -> dict[str, Amounts]:
    """Return requests and limits of CPU, memory and ephemeral storage, without GPUs.

    The ModelRuntime's count only where the ModelService names none: mixing both would put a small request
    under a large limit, or one above the other.
    """
    wanted = spec.resources or runtime.resources
    return {
        kind: {name: _in_thousandths(amount) for name, amount in amounts.items()}
        for kind, amounts in (("requests", wanted.requests), ("limits", wanted.limits))
        if amounts
    }


def _in_thousandths(amount: str) -> str:
    """Round up to 1m, as the API server does with the resources of containers."""
    thousandths = parse_quantity(amount) * 1000
    return amount if thousandths == int(thousandths) else canonical_quantity(f"{math.ceil(thousandths)}m")


def _larger(amount: str, other: str | None) -> str:
    return amount if other is None or parse_quantity(amount) >= parse_quantity(other) else other


def _smaller(amount: str, other: str | None) -> str:
    return amount if other is None or parse_quantity(amount) <= parse_quantity(other) else other


def with_memory(resources: Mapping[str, Amounts], memory_bytes: int) -> dict[str, Amounts]:
    """Return `resources` with so much more memory, wherever memory is asked for or limited."""
    return {
        kind: {
            name: canonical_quantity(f"{math.ceil((parse_quantity(amount) + memory_bytes) / 1024)}Ki")
            if name == "memory"
            else amount
            for name, amount in amounts.items()
        }
        for kind, amounts in resources.items()
    }


def with_gpus(resources: Mapping[str, Amounts], spec: ModelServiceSpec) -> dict[str, Any]:
    """Return `resources` with the GPUs: as limits only, Kubernetes requests extended resources alike."""
    if spec.gpu is None:
        return dict(resources)
    if spec.gpu.extended_resource is None:
        return {**resources, "claims": [{"name": GPU_CLAIM}]}
    limits = {**resources.get("limits", {}), spec.gpu.extended_resource: str(spec.gpu.count)}
    return {**resources, "limits": limits}


def intra_op_threads(
    spec: ModelServiceSpec, runtime: RecordedRuntime, resources: Mapping[str, Amounts]
) -> int:
    """Return the threads for one inference: as asked for, else the CPU limit or request, rounded up.

    Several processes share the CPUs out among themselves.
    """
    wanted = spec.runtime.intra_op_threads or runtime.intra_op_threads
    if wanted is not None:
        return wanted
    cpu = resources.get("limits", {}).get("cpu") or resources.get("requests", {}).get("cpu")
    workers = (spec.server.workers if spec.server else None) or 1
    return max(1, math.ceil(parse_quantity(cpu)) // workers) if cpu else 1


def cpus_asked_for(resources: Mapping[str, Amounts]) -> int | None:
    """Return the CPU request, rounded up, of a container without a limit; None where its limit tells it."""
    cpu = resources.get("requests", {}).get("cpu")
    if cpu is None or resources.get("limits", {}).get("cpu"):
        return None
    return max(1, math.ceil(parse_quantity(cpu)))


def execution_providers(spec: ModelServiceSpec, runtime: RecordedRuntime) -> tuple[str, ...]:
    """Return ONNX Runtime's execution providers, best first."""
    if spec.runtime.execution_providers:
        return spec.runtime.execution_providers
    if spec.gpu is None:
        return ("CPU",)
    return gpu_providers(spec.gpu, runtime.execution_providers)


def gpu_providers(gpu: GpuSpec, defaults: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the providers where nobody names them: those of the runtime, where they run on such a GPU."""
    if gpu.vendor in (None, NVIDIA):
        return defaults or NVIDIA.providers[:1]
    return defaults if {*defaults} & {*gpu.vendor.providers} else gpu.vendor.providers[:1]
