"""What an analysis looks at: metrics of the new revision, beside the old one or within a bound."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from modelservice_operator.api.types.base import ApiModel, Quantity, between
from modelservice_operator.api.types.oci import HOST
from modelservice_operator.api.types.rules import Rule, must_match

MetricType = Literal[
    "ErrorRatio",
    "LatencyP50",
    "LatencyP95",
    "LatencyP99",
    "TimeToFirstTokenP50",
    "TimeToFirstTokenP95",
    "TimeToFirstTokenP99",
    "InterTokenLatencyP50",
    "InterTokenLatencyP95",
    "InterTokenLatencyP99",
    "Saturation",
    "NonFiniteRatio",
    "Prometheus",
]
OF_TEXTS: frozenset[str] = frozenset(
    name for name in get_args(MetricType) if name.startswith(("TimeToFirstToken", "InterTokenLatency"))
)
"""Metrics of models that generate text."""
SECONDS: frozenset[str] = OF_TEXTS | {"LatencyP50", "LatencyP95", "LatencyP99"}
"""Metrics that are times."""


class PrometheusSource(ApiModel):
    """A Prometheus server."""

    url: Annotated[
        str,
        Field(max_length=512),
        must_match(
            rf'https?://{HOST}(/[!"$-?A-\[\]-~]*)?',
            "expected an address such as http://prometheus.monitoring:9090, without credentials and '#'",
            echo=False,
        ),
    ]
    """Its address, such as http://prometheus.monitoring:9090."""


class AnalysisMetric(ApiModel):
    """One metric and its bounds; a measurement fails where any of them is crossed."""

    type: MetricType
    """ErrorRatio: answers that are the server's fault, 0 to 1. LatencyP50, LatencyP95, LatencyP99: seconds.
    With spec.generation, TimeToFirstTokenP50, P95, P99: seconds from a request to its first token;
    InterTokenLatencyP50, P95, P99: seconds between two tokens of an answer. Saturation: requests that wait or
    run in a pod. NonFiniteRatio: answers with NaN or infinite numbers, 0 to 1. Prometheus: what `query`
    says."""
    max: Quantity | None = None
    """The most that it may be for the new revision, such as "0.01" or 200m."""
    max_increase: Quantity | None = None
    """How much more it may be than for the old revision in the same time."""
    max_ratio: Quantity | None = None
    """How many times that of the old revision in the same time it may be, such as "1.5"."""
    query: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """PromQL for one number. {{namespace}}, {{name}}, {{revision}} and {{pods}} (a regular expression of the
    revision's pods) are filled in."""

    rules = (
        Rule(
            cel="has(self.max) || has(self.maxIncrease) || has(self.maxRatio)",
            message="expected a bound: max, maxIncrease or maxRatio",
            check=lambda self: any(one is not None for one in (self.max, self.max_increase, self.max_ratio)),
        ),
        Rule(
            cel="has(self.query) == (self.type == 'Prometheus')",
            message="type Prometheus needs a query, and only it takes one",
            check=lambda self: (self.query is not None) == (self.type == "Prometheus"),
            field_path=".query",
        ),
    )


class Analysis(ApiModel):
    """Measurements, one after the other, and what is made of them."""

    metrics: Annotated[tuple[AnalysisMetric, ...], Field(min_length=1, max_length=8)] = (
        AnalysisMetric(type="ErrorRatio", max_increase="0.01"),
        AnalysisMetric(type="LatencyP50", max_ratio="1.5"),
        AnalysisMetric(type="LatencyP95", max_ratio="1.5"),
        AnalysisMetric(type="NonFiniteRatio", max_increase="0.001"),
    )
    """What is measured. Default: ErrorRatio at most 0.01 above the old revision's, LatencyP50 and
    LatencyP95 at most 1.5 times it, NonFiniteRatio at most 0.001 above it."""
    interval_seconds: Annotated[int, between(1, 3600)] = 30
    """The time that one measurement looks at. Default: 30."""
    count: Annotated[int, between(1, 1000)] = 3
    """Measurements that have to be good. Default: 3."""
    min_requests: Annotated[int, between(1, 1_000_000)] = 50
    """Requests to each revision below which a measurement says nothing; for times of tokens also first
    tokens, or times between two. Default: 50."""
    failure_limit: Annotated[int, between(0, 1000)] = 0
    """Measurements that may be bad; one more aborts the rollout. Default: 0."""
    inconclusive_limit: Annotated[int, between(0, 1000)] = 3
    """Measurements that may say nothing; one more pauses the rollout until somebody decides. Default: 3."""
