"""`spec.autoscaling`: the signals that replicas follow, the engine that follows them, and how far it goes."""

from typing import Annotated, Literal

from pydantic import Field

from modelservice_operator.api.types.base import (
    ApiModel,
    NoneIfEmpty,
    Quantity,
    between,
    list_map,
    positive_quantity,
    unique_by,
)
from modelservice_operator.api.types.kubernetes import LabelSelector, ScalingBehavior
from modelservice_operator.api.types.rules import Rule

MetricType = Literal[
    "CPU",
    "Memory",
    "Concurrency",
    "RequestRate",
    "QueueTime",
    "GPU",
    "TokensInFlight",
    "KVCache",
    "WaitingRequests",
    "External",
]
Provider = Literal["Auto", "Builtin", "HPA", "Keda"]
DEFAULT_IDLE_SECONDS = 300
_UtilizedKind = Literal["CPU", "Memory"]
_Targets = Literal["averageUtilization", "averageValue", "value"]
_TARGETS: dict[MetricType, tuple[_Targets, ...]] = {
    "CPU": ("averageUtilization", "averageValue"),
    "Memory": ("averageUtilization", "averageValue"),
    "Concurrency": ("averageValue",),
    "RequestRate": ("averageValue",),
    "QueueTime": ("value",),
    "GPU": ("averageUtilization",),
    "TokensInFlight": ("averageValue",),
    "KVCache": ("averageUtilization",),
    "WaitingRequests": ("averageValue",),
    "External": ("value", "averageValue"),
}
"""What each signal can be steered to, as Kubernetes' HorizontalPodAutoscaler names it."""
HPA_ALONE: frozenset[MetricType] = frozenset({"External"})
"""Signals that only a HorizontalPodAutoscaler can read."""
OF_PODS: frozenset[MetricType] = frozenset({"CPU", "Memory"})
"""Signals that Kubernetes knows of any pod; the others, but for External, are the server's own."""
OF_TEXTS: tuple[MetricType, ...] = ("TokensInFlight", "KVCache", "WaitingRequests")
"""Signals of models that generate text."""
NO_SUMS: frozenset[MetricType] = frozenset({"QueueTime", "GPU", "KVCache"})
"""Signals of the server that are no sums over the pods: twice the pods do not halve what is counted."""


class MetricTarget(ApiModel):
    """The value to steer to: exactly one of the fields."""

    average_utilization: Annotated[int, between(1, 10_000)] | None = None
    """Percent: of the request for CPU and Memory, of the device for GPU, of the memory for keys and values
    for KVCache; averaged over the pods."""
    average_value: Quantity | None = None
    """An amount per pod, such as 8, 500m or 1Gi."""
    value: Quantity | None = None
    """An amount of the whole service: seconds for QueueTime, such as 50m (0.05 s)."""

    rules = (
        Rule(
            cel=(
                "[has(self.averageUtilization), has(self.averageValue), has(self.value)]"
                ".filter(one, one).size() == 1"
            ),
            message="expected exactly one of averageUtilization, averageValue and value",
            check=lambda self: len(self.kinds()) == 1,
        ),
        positive_quantity("averageValue", "average_value", "expected more than 0, such as 500m or 1Gi"),
        positive_quantity("value", "value", "expected more than 0, such as 50m"),
    )

    def kinds(self) -> tuple[str, ...]:
        """Return the names of the fields that are set, as they are written in YAML."""
        return tuple(self.to_dict())


class ExternalMetric(ApiModel):
    """A metric of external.metrics.k8s.io."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Its name."""
    selector: Annotated[LabelSelector | None, NoneIfEmpty] = None
    """Which of its series."""


def _suits(kind: MetricType) -> Rule:
    names = _TARGETS[kind]
    return Rule(
        cel=f"self.type != '{kind}' || " + " || ".join(f"has(self.target.{name})" for name in names),
        message=f"{kind} is steered by {' or '.join(names)}",
        check=lambda self: self.type != kind or not {*self.target.kinds()}.isdisjoint(names),
        field_path=".target",
    )


class Metric(ApiModel):
    """A signal that replicas follow."""

    type: MetricType
    """Concurrency: requests that run or wait, per pod. RequestRate: requests a second, per pod. QueueTime:
    the 95th percentile of the seconds that requests waited. GPU, CPU, Memory: how busy they are. With
    spec.generation, TokensInFlight: tokens of prompts and of what was generated for them, of requests that
    run or wait, per pod. KVCache: used share of the memory for keys and values. WaitingRequests: requests
    without a place, per pod. External: a metric of external.metrics.k8s.io."""
    target: MetricTarget
    """The value to steer to."""
    gpu: Literal["Utilization", "Memory"] | None = None
    """Which part of the GPU counts, for type GPU. Default: Utilization."""
    metric: ExternalMetric | None = None
    """The metric, for type External."""

    rules = (
        *map(_suits, _TARGETS),
        Rule(
            cel="(self.type == 'External') == has(self.metric)",
            message="type External, and no other, needs metric",
            check=lambda self: (self.type == "External") == (self.metric is not None),
            field_path=".metric",
        ),
        Rule(
            cel="self.type == 'GPU' || !has(self.gpu)",
            message="gpu goes with type GPU",
            check=lambda self: self.type == "GPU" or self.gpu is None,
            field_path=".gpu",
        ),
    )


def _only_an_hpa_reads_external(provider: str) -> Rule:
    """Demand of the providers that cannot read it that External is left out."""
    said = f"has(self.provider) && self.provider == '{provider}'"
    listed = "has(self.metrics) && self.metrics.exists(one, one.type == 'External')"
    return Rule(
        cel=f"!({said}) || !({listed})",
        message=f"provider {provider} cannot read External metrics: use Auto or HPA",
        check=lambda self: self.provider != provider or HPA_ALONE.isdisjoint(self.types),
        field_path=".metrics",
    )


_OWN = "one.type != 'External' && one.type != 'CPU' && one.type != 'Memory'"


class Autoscaling(ApiModel):
    """Replicas follow signals. Leave spec.replicas out: autoscaling writes it, through /scale."""

    provider: Provider = "Auto"
    """Who decides. HPA: Kubernetes' own; beyond CPU and Memory it needs a metrics adapter. Keda: its
    operator, by our scaler. Builtin: modelservice-autoscaler, which asks the pods. Auto: HPA for CPU, Memory
    and External; else Keda where it is installed, else Builtin. Default: Auto."""
    min_replicas: Annotated[int, between(0, 10_000)] = 1
    """The fewest pods. 0: none after idleSeconds without a request; the activator holds requests until a
    pod is ready. Default: 1."""
    max_replicas: Annotated[int, between(1, 10_000)]
    """The most pods."""
    idle_seconds: Annotated[int, between(1, 86_400)] | None = None
    """With minReplicas 0: after how long without a request all pods go. Default: 300."""
    metrics: Annotated[tuple[Metric, ...], list_map("type", 10, minimum=1), unique_by("type")] = (
        Metric(type="CPU", target=MetricTarget(average_utilization=80)),
    )
    """The signals, each type once; the one that asks for most pods counts. Default: CPU at 80 % of the
    request."""
    behavior: Annotated[ScalingBehavior | None, NoneIfEmpty] = None
    """How fast it scales, as in Kubernetes' HorizontalPodAutoscaler."""

    rules = (
        Rule(
            cel="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            message="minReplicas must not be above maxReplicas",
            check=lambda self: self.min_replicas <= self.max_replicas,
            field_path=".minReplicas",
        ),
        Rule(
            cel="!has(self.idleSeconds) || (has(self.minReplicas) && self.minReplicas == 0)",
            message="idleSeconds goes with minReplicas 0",
            check=lambda self: self.idle_seconds is None or self.min_replicas == 0,
            field_path=".idleSeconds",
        ),
        _only_an_hpa_reads_external("Builtin"),
        _only_an_hpa_reads_external("Keda"),
        Rule(
            cel=(
                "(has(self.provider) && self.provider != 'Auto') || !has(self.metrics)"
                " || !self.metrics.exists(one, one.type == 'External')"
                f" || !self.metrics.exists(one, {_OWN})"
            ),
            message=(
                "External is read by an HPA, signals of the server need a metrics adapter there: set "
                "provider to HPA where its rules are installed, or leave one of them out"
            ),
            check=lambda self: (
                self.provider != "Auto"
                or HPA_ALONE.isdisjoint(self.types)
                or self.types <= HPA_ALONE | OF_PODS
            ),
            field_path=".metrics",
        ),
    )

    @property
    def types(self) -> frozenset[MetricType]:
        """The types of its signals."""
        return frozenset(metric.type for metric in self.metrics)

    @property
    def idles_after_seconds(self) -> int | None:
        """How long nobody may ask before all pods go; None where one stays."""
        return None if self.min_replicas > 0 else self.idle_seconds or DEFAULT_IDLE_SECONDS

    def steers_by_utilization(self, kind: _UtilizedKind) -> bool:
        """Whether a metric of this kind is a percentage of the request."""
        return any(
            metric.type == kind and metric.target.average_utilization is not None for metric in self.metrics
        )


def utilization_needs_request(kind: _UtilizedKind) -> Rule:
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


GPU_RULE = Rule(
    cel=(
        "!has(self.autoscaling) || !has(self.autoscaling.metrics) || has(self.gpu)"
        " || !self.autoscaling.metrics.exists(one, one.type == 'GPU')"
    ),
    message="type GPU needs spec.gpu: there is no device to look at",
    check=lambda self: (
        self.autoscaling is None or self.gpu is not None or "GPU" not in self.autoscaling.types
    ),
    field_path=".autoscaling.metrics",
)
"""A rule of specs: whose replicas follow a GPU has one."""

SIGNALS_OF_TEXTS_RULE = Rule(
    cel=(
        "!has(self.autoscaling) || !has(self.autoscaling.metrics) || has(self.generation)"
        f" || !self.autoscaling.metrics.exists(one, one.type in {list(OF_TEXTS)})"
    ),
    message=f"types {', '.join(OF_TEXTS[:-1])} and {OF_TEXTS[-1]} need spec.generation: only models that "
    "generate text have them",
    check=lambda self: (
        self.autoscaling is None or self.generation is not None or self.autoscaling.types.isdisjoint(OF_TEXTS)
    ),
    field_path=".autoscaling.metrics",
)
"""A rule of specs: whose replicas follow texts generates some."""

_CEL_OF_NOTHING = " && ".join(
    f"(!has(self.resources.{part}) || self.resources.{part}.size() == 0)" for part in ("requests", "limits")
)
"""To the API server an object without fields is there; to us it is left out."""


def _cel_of_utilization(kind: _UtilizedKind) -> str:
    """Whether the autoscaler looks at the utilisation of this kind; where no metric is listed, at CPU."""
    listed = "self.autoscaling.metrics"
    wanted = f"{listed}.exists(one, one.type == '{kind}' && has(one.target.averageUtilization))"
    return f"!has({listed}) || {wanted}" if kind == "CPU" else f"has({listed}) && {wanted}"


def _cel_of_request(name: str, spec: str) -> str:
    return " || ".join(
        f"(has({spec}.resources.{part}) && '{name}' in {spec}.resources.{part})"
        for part in ("requests", "limits")
    )
