"""`spec.autoscaling`: what the HorizontalPodAutoscaler looks at, and how far it goes."""

from typing import Annotated, Literal

from modelservice_operator.api.types.base import (
    ApiModel,
    NoneIfEmpty,
    Quantity,
    between,
    list_map,
    positive_quantity,
    unique_by,
)
from modelservice_operator.api.types.kubernetes import ScalingBehavior
from modelservice_operator.api.types.rules import Rule

_Kind = Literal["CPU", "Memory"]


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
        positive_quantity("averageValue", "average_value", "expected more than 0, such as 500m or 1Gi"),
    )


class Metric(ApiModel):
    """What the autoscaler looks at."""

    type: _Kind
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

    def steers_by_utilization(self, kind: _Kind) -> bool:
        """Whether a metric of this kind is a percentage of the request."""
        return any(
            metric.type == kind and metric.target.average_utilization is not None for metric in self.metrics
        )


def utilization_needs_request(kind: _Kind) -> Rule:
    """Return the rule of a spec that a utilisation is a percentage of something; a limit is a request too.

    Where spec.resources is left out, those of the ModelRuntime count: only its reader can tell.
    """
    name = kind.lower()
    before = "oldSelf.value()"
    return Rule(
        cel=(
            f"!has(self.autoscaling) || !has(self.resources) || !({_cel_of_utilization(kind)})"
            f" || {_cel_of_request(name, 'self')} || ({_CEL_OF_NOTHING})"
        ),
        stored_cel=(
            f"has({before}.autoscaling) && has({before}.resources) && !({_cel_of_request(name, before)})"
        ),
        message=(
            f"{kind} utilisation is a percentage of the request, and spec.resources requests no {name}: "
            f"add spec.resources.requests.{name}, or steer by averageValue"
        ),
        check=lambda self: (
            self.autoscaling is None
            or self.resources is None
            or not self.autoscaling.steers_by_utilization(kind)
            or name in self.resources.requests
            or name in self.resources.limits
        ),
        field_path=".autoscaling.metrics",
        spares_stored=True,
    )


_CEL_OF_NOTHING = " && ".join(
    f"(!has(self.resources.{part}) || self.resources.{part}.size() == 0)" for part in ("requests", "limits")
)
"""To the API server an object without fields is there; to us it is left out."""


def _cel_of_utilization(kind: _Kind) -> str:
    """Whether the autoscaler looks at the utilisation of this kind; where no metric is listed, at CPU."""
    listed = "self.autoscaling.metrics"
    wanted = f"{listed}.exists(one, one.type == '{kind}' && has(one.target.averageUtilization))"
    return f"!has({listed}) || {wanted}" if kind == "CPU" else f"has({listed}) && {wanted}"


def _cel_of_request(name: str, spec: str) -> str:
    return " || ".join(
        f"(has({spec}.resources.{part}) && '{name}' in {spec}.resources.{part})"
        for part in ("requests", "limits")
    )
