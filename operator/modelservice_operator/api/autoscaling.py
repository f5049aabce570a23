"""`spec.autoscaling`: what the HorizontalPodAutoscaler looks at, and how far it goes."""

from typing import Annotated, Literal

from modelservice_operator.api.base import (
    ApiModel,
    NoneIfEmpty,
    Quantity,
    between,
    list_map,
    unique_by,
)
from modelservice_operator.api.kubernetes import ScalingBehavior
from modelservice_operator.api.rules import Rule


class MetricTarget(ApiModel):
    """The value that the autoscaler steers to: exactly one of the fields."""

    average_utilization: Annotated[int, between(1, 10_000)] | None = None
    """Percent of the request, averaged over the pods."""
    average_value: Quantity | None = None
    """An amount per pod, such as 500m or 1Gi."""

    rules = (
        Rule(
            cel="has(self.averageUtilization) != has(self.averageValue)",
            message="expected exactly one of averageUtilization and averageValue",
            check=lambda self: (self.average_utilization is None) != (self.average_value is None),
        ),
    )


class Metric(ApiModel):
    """What the autoscaler looks at."""

    type: Literal["CPU", "Memory"]
    """The pods' CPU or memory."""
    target: MetricTarget
    """The value to steer to."""


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler for the ModelService. Leave spec.replicas out: the autoscaler writes it."""

    min_replicas: Annotated[int, between(1, 10_000)] = 1
    """The fewest pods. Default: 1."""
    max_replicas: Annotated[int, between(1, 10_000)]
    """The most pods."""
    metrics: Annotated[tuple[Metric, ...], list_map("type", 2, minimum=1), unique_by("type")] = (
        Metric(type="CPU", target=MetricTarget(average_utilization=80)),
    )
    """What the autoscaler looks at, each type once. Default: CPU at 80 % of the request."""
    behavior: Annotated[ScalingBehavior | None, NoneIfEmpty] = None
    """How fast it scales, as in Kubernetes."""

    rules = (
        Rule(
            cel="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            message="minReplicas must not be above maxReplicas",
            check=lambda self: self.min_replicas <= self.max_replicas,
            field_path=".minReplicas",
        ),
    )
