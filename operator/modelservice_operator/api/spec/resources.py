"""What a pod asks of its node, and how the runtime uses it: shared by ModelService and ModelRuntime."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import ApiModel, Quantity, between
from modelservice_operator.api.types.rules import Rule, keys_must_match
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


ExecutionProviders = Annotated[
    tuple[Literal["CPU", "CUDA", "TensorRT", "MIGraphX", "ROCm", "OpenVINO"], ...],
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
