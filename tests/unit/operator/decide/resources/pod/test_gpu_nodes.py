"""Where a GPU's pod may run: each case as the labels of nodes that must, and must not, take it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operator.builders import make_model_service

from modelservice_operator.api import GpuSpec, parse_model_service
from modelservice_operator.decide.resources.pod.gpu_nodes import (
    gpu_node_selector,
    gpu_preferences,
    gpu_requirements,
    gpu_tolerations,
)
from modelservice_operator.decide.resources.pod.sizing import gpu_providers

MEMORY, PRODUCT = "nvidia.com/gpu.memory", "nvidia.com/gpu.product"
SHARING = "nvidia.com/gpu.sharing-strategy"
VRAM = "amd.com/gpu.vram"


def make_gpu(**fields: Any) -> GpuSpec:
    gpu = parse_model_service(make_model_service(gpu={"count": 1, **fields})).spec.gpu
    assert gpu is not None
    return gpu


def takes(gpu: GpuSpec, labels: dict[str, str]) -> bool:
    """What the scheduler would say of a node's labels."""
    selected = all(labels.get(key) == value for key, value in gpu_node_selector(gpu).items())
    return selected and all(fulfils(one, labels) for one in gpu_requirements(gpu))


def fulfils(requirement: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values", [])
    match requirement["operator"]:
        case "Exists":
            return value is not None
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
    raise AssertionError(requirement)


@pytest.mark.parametrize(
    ("gpu", "yes", "no"),
    [
        ({"memory": "20Gi"}, {MEMORY: "20480"}, {MEMORY: "20479"}),
        ({"memory": "22.5Gi"}, {MEMORY: "23040"}, {MEMORY: "23034"}),
        ({"memory": "20G"}, {MEMORY: "19074"}, {MEMORY: "19073"}),
        ({"memory": "20Gi"}, {MEMORY: "81920"}, {}),
        ({"resource": "amd.com/gpu", "memory": "64Gi"}, {VRAM: "64G"}, {VRAM: "32G"}),
        ({"resource": "amd.com/gpu", "memory": "64Gi"}, {VRAM: "192G"}, {}),
        ({"resource": "amd.com/gpu", "memory": "1Gi"}, {VRAM: "1G"}, {}),
        ({"products": ["A", "B"]}, {PRODUCT: "B"}, {PRODUCT: "C"}),
        ({"product": "A"}, {PRODUCT: "A"}, {PRODUCT: "A-SHARED"}),
        (
            {"product": "A", "sharing": {"memoryLimit": "1Gi"}},
            {PRODUCT: "A-SHARED", SHARING: "mps"},
            {PRODUCT: "A-SHARED", SHARING: "none"},
        ),
        (
            {"products": ["A-SHARED"], "sharing": {"strategy": "TimeSlicing", "memoryLimit": "1Gi"}},
            {PRODUCT: "A-SHARED", SHARING: "time-slicing"},
            {PRODUCT: "A-SHARED", SHARING: "mps"},
        ),
        (
            {"resource": "nvidia.com/gpu.shared", "product": "A", "sharing": {"memoryLimit": "1Gi"}},
            {PRODUCT: "A", SHARING: "time-slicing"},
            {PRODUCT: "A-SHARED", SHARING: "time-slicing"},
        ),
        (
            {"resource": "gpu.intel.com/xe", "product": "Flex_170"},
            {"gpu.intel.com/product": "Flex_170"},
            {PRODUCT: "Flex_170"},
        ),
        (
            {"resource": "example.com/npu", "product": "A"},
            {"example.com/gpu.product": "A"},
            {PRODUCT: "A"},
        ),
    ],
)
def test_gpu_requirements_by_the_labels_of_nodes(
    gpu: dict[str, Any], yes: dict[str, str], no: dict[str, str]
) -> None:
    assert takes(make_gpu(**gpu), yes)
    assert not takes(make_gpu(**gpu), no)


@given(st.integers(1, 1024), st.integers(1, 1024))
def test_gpu_requirements_memory_of_amd_is_compared_as_a_number(wanted: int, there: int) -> None:
    gpu = make_gpu(resource="amd.com/gpu", memory=f"{wanted}Gi")

    assert takes(gpu, {VRAM: f"{there}G"}) == (there >= wanted)


@given(st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=8, unique=True))
def test_gpu_preferences_fall_from_the_first_product_to_the_last(products: list[str]) -> None:
    preferred = gpu_preferences(make_gpu(products=products))

    weights = [one["weight"] for one in preferred]
    named = [one["preference"]["matchExpressions"][0]["values"] for one in preferred]
    assert named == [[product] for product in products[:-1]]
    assert weights == sorted(set(weights), reverse=True)
    assert all(1 <= weight <= 100 for weight in weights)
    assert not weights or weights[0] == 100


@pytest.mark.parametrize(
    ("gpu", "keys"),
    [
        ({}, ["nvidia.com/gpu"]),
        ({"migProfile": "1g.10gb"}, ["nvidia.com/mig-1g.10gb", "nvidia.com/gpu"]),
        ({"resource": "nvidia.com/gpu.shared"}, ["nvidia.com/gpu.shared", "nvidia.com/gpu"]),
        ({"resource": "gpu.intel.com/xe"}, ["gpu.intel.com/xe"]),
        ({"claim": {"deviceClassName": "gpu.nvidia.com"}}, ["nvidia.com/gpu"]),
        ({"claim": {"deviceClassName": "gpu.amd.com"}}, ["amd.com/gpu"]),
        ({"claim": {"deviceClassName": "mine"}}, []),
    ],
)
def test_gpu_tolerations_are_those_of_the_resource_its_vendor_and_the_node_pool(
    gpu: dict[str, Any], keys: list[str]
) -> None:
    assert [one["key"] for one in gpu_tolerations(make_gpu(**gpu))] == [*keys, "sku"]


@pytest.mark.parametrize(
    ("gpu", "defaults", "providers"),
    [
        ({}, (), ("CUDA",)),
        ({}, ("TensorRT", "CUDA"), ("TensorRT", "CUDA")),
        ({"resource": "example.com/npu"}, (), ("CUDA",)),
        ({"resource": "amd.com/gpu"}, (), ("MIGraphX",)),
        ({"resource": "amd.com/gpu"}, ("CUDA", "CPU"), ("MIGraphX",)),
        ({"resource": "amd.com/gpu"}, ("ROCm", "CPU"), ("ROCm", "CPU")),
        ({"resource": "gpu.intel.com/i915"}, ("CUDA",), ("OpenVINO",)),
        ({"claim": {"deviceClassName": "gpu.amd.com"}}, (), ("MIGraphX",)),
        ({"claim": {"deviceClassName": "mine"}}, (), ("CUDA",)),
    ],
)
def test_gpu_providers_are_those_that_run_on_such_a_gpu(
    gpu: dict[str, Any], defaults: tuple[str, ...], providers: tuple[str, ...]
) -> None:
    assert gpu_providers(make_gpu(**gpu), defaults) == providers
