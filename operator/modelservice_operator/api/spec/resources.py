"""What a pod asks of its node, and how the runtime uses it: shared by ModelService and ModelRuntime."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import (
    DNS_SUBDOMAIN,
    LABEL_NAME,
    ApiModel,
    LabelValue,
    Quantity,
    between,
)
from modelservice_operator.api.types.rules import Rule, keys_must_match, must_match, must_not_contain
from modelservice_operator.facts.text.quantity import parse_quantity

ResourceList = Annotated[
    dict[str, Quantity],
    Field(max_length=8),
    keys_must_match(
        "cpu|memory|ephemeral-storage",
        "only cpu, memory and ephemeral-storage go here: "
        "ask for GPUs and other extended resources with spec.gpu (count and resource)",
    ),
]


def _requests_fit(requests: dict[str, str], limits: dict[str, str]) -> bool:
    return all(
        parse_quantity(request) <= parse_quantity(limits[name])
        for name, request in requests.items()
        if name in limits
    )


class Resources(ApiModel):
    """CPU, memory and ephemeral storage of a container."""

    requests: ResourceList = Field(default_factory=dict)
    """What is reserved on the node. A fraction needs quotes: cpu: "0.5"."""
    limits: ResourceList = Field(default_factory=dict)
    """What is never exceeded. A fraction needs quotes: cpu: "0.5"."""

    rules = (
        Rule(
            cel=(
                "!has(self.requests) || !has(self.limits) || "
                "self.requests.all(name, !(name in self.limits) || "
                "!isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || "
                "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)"
            ),
            message="a request must not be above the limit of the same resource",
            check=lambda self: _requests_fit(self.requests, self.limits),
            field_path=".requests",
        ),
    )


_ONE_GPU = Rule(
    cel="self <= 1",
    message=(
        "expected 1: a server runs its model on one GPU, and further ones would stand idle; "
        "for more throughput raise spec.replicas, so that each GPU has a pod of its own"
    ),
    check=lambda count: count <= 1,
    spares_stored=True,
)


class GpuSpec(ApiModel):
    """GPUs for each pod, as an extended resource."""

    count: Annotated[int, between(1, 64), _ONE_GPU]
    """How many: 1, for a server runs its model on one GPU. More GPUs are used by more replicas."""
    resource: Annotated[
        str,
        Field(max_length=253),
        must_match(f"{DNS_SUBDOMAIN}/{LABEL_NAME}", "expected an extended resource such as nvidia.com/gpu"),
        must_not_contain(
            r"^([^/]*\.)?kubernetes\.io/",
            "kubernetes.io/ is reserved for Kubernetes: expected an extended resource such as nvidia.com/gpu",
        ),
    ] = "nvidia.com/gpu"
    """The extended resource, a MIG one too. Default: nvidia.com/gpu."""
    product: Annotated[LabelValue, Field(min_length=1)] | None = None
    """The GPU's product, the value of the node label nvidia.com/gpu.product, such as NVIDIA-L4."""


ExecutionProviders = Annotated[
    tuple[Literal["CPU", "CUDA", "TensorRT"], ...],
    Field(min_length=1, max_length=4),
    Rule(
        cel="self.all(one, self.exists_one(other, other == one))",
        message="expected each execution provider at most once",
        check=lambda value: len(set(value)) == len(value),
    ),
    Rule(
        cel="size(self) == 1 || self[0] != 'CPU'",
        message="a provider after CPU would never be used: put CPU last",
        check=lambda value: len(value) == 1 or value[0] != "CPU",
    ),
]
IntraOpThreads = Annotated[int, between(1, 1024)]
