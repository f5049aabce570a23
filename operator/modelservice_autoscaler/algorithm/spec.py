"""What an autoscaler is told: signals, their targets, and how far and how fast it may go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from modelservice_operator.facts.text.quantity import parse_quantity

if TYPE_CHECKING:
    from modelservice_operator.api.spec.autoscaling import Autoscaling, Metric
    from modelservice_operator.api.types.kubernetes import ScalingRules

SignalType = Literal[
    "Concurrency",
    "RequestRate",
    "QueueTime",
    "CPU",
    "Memory",
    "GPU",
    "TokensInFlight",
    "KVCache",
    "WaitingRequests",
]
DOWN_STABILIZATION_SECONDS = 300.0
"""Kubernetes' default: longer than most starts of a model take, so that none goes in a short lull."""
TOLERANCE = 0.1
"""Kubernetes' default: a ratio this near to 1 changes nothing."""


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `value` pods, or percent of the pods, in any `period_seconds`."""

    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """How fast to scale in one direction."""

    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"
    stabilization_seconds: float = 0.0
    tolerance: float = TOLERANCE
    """How far from 1 a ratio may be and change nothing."""
    policies_are_default: bool = True
    """Whether nobody asked for these policies: then a burst may go further."""


class Tolerance(NamedTuple):
    """How far above and below 1 a ratio may be and change nothing."""

    up: float = TOLERANCE
    down: float = TOLERANCE


DEFAULT_UP = Rules(policies=(Policy("Pods", 4, 15.0), Policy("Percent", 100, 15.0)))
BURST_POLICY = Policy("Percent", 700, 60.0)
"""What a burst may add beside the default policies: a load eight times as large is met at once. Only once a
minute, for a queue grows while the pods start that are to take it, and would ask for ever more of them."""
DEFAULT_DOWN = Rules(
    policies=(Policy("Percent", 100, 15.0),), stabilization_seconds=DOWN_STABILIZATION_SECONDS
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal and the value to steer to.

    Requests, requests a second, tokens, cores or bytes per pod; seconds of the whole service for QueueTime;
    where `percent` is set, percent of `whole`.
    """

    type: SignalType
    target: float
    part: Literal["Utilization", "Memory"] = "Utilization"
    """Which part of the GPU."""
    percent: bool = False
    whole: float | None = None
    """What 100 % is: the pod's request, or 1 of what is a share; None where the request is not known."""


@dataclass(frozen=True, slots=True)
class AutoscalerSpec:
    """Everything that is wished of the autoscaler."""

    min_replicas: int
    """At least 1: going to zero and back is decided elsewhere."""
    max_replicas: int
    signals: tuple[Signal, ...]
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN

    @property
    def tolerance(self) -> Tolerance:
        """The tolerance of both directions."""
        return Tolerance(self.up.tolerance, self.down.tolerance)


def build_spec(
    autoscaling: Autoscaling,
    *,
    cpu_request_cores: float | None = None,
    memory_request_bytes: float | None = None,
) -> AutoscalerSpec:
    """Return what `spec.autoscaling` wishes; the requests are those of a pod, for targets in percent.

    A signal whose target is a percentage of an unknown request is kept with `whole` None: it counts as
    missing. External metrics are left out: nobody but an HPA reads them.
    """
    wholes = {"CPU": cpu_request_cores, "Memory": memory_request_bytes}
    behavior = autoscaling.behavior
    return AutoscalerSpec(
        min_replicas=max(autoscaling.min_replicas, 1),
        max_replicas=autoscaling.max_replicas,
        signals=tuple(
            _build_signal(metric, metric.type, wholes.get(metric.type, 1.0))
            for metric in autoscaling.metrics
            if metric.type != "External"
        ),
        up=_build_rules(behavior.scale_up if behavior else None, DEFAULT_UP),
        down=_build_rules(behavior.scale_down if behavior else None, DEFAULT_DOWN),
    )


def _build_signal(metric: Metric, kind: SignalType, whole: float | None) -> Signal:
    target, percent = metric.target, metric.target.average_utilization
    if percent is not None:
        return Signal(kind, float(percent), metric.gpu or "Utilization", percent=True, whole=whole)
    return Signal(kind, float(parse_quantity(target.average_value or target.value or "")))


def _build_rules(rules: ScalingRules | None, default: Rules) -> Rules:
    """Fill in what is left out, as Kubernetes does."""
    if rules is None:
        return default
    policies = tuple(Policy(one.type, one.value, one.period_seconds) for one in rules.policies or ())
    window = rules.stabilization_window_seconds
    return Rules(
        policies=policies or default.policies,
        select=rules.select_policy or default.select,
        stabilization_seconds=default.stabilization_seconds if window is None else float(window),
        tolerance=default.tolerance if rules.tolerance is None else float(parse_quantity(rules.tolerance)),
        policies_are_default=not policies and rules.select_policy is None,
    )
