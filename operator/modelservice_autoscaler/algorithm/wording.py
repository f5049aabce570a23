"""The sentences that people read of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modelservice_autoscaler.algorithm.kinds import kind_of
from modelservice_autoscaler.algorithm.windows import STABLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelservice_autoscaler.algorithm.pods import Pods
    from modelservice_autoscaler.algorithm.signals import Usage
    from modelservice_autoscaler.algorithm.spec import Signal

_BINARY = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))


class Asked(NamedTuple):
    """What one signal asks for, and over how long it was averaged."""

    signal: Signal
    usage: Usage
    replicas: int
    over_seconds: float


def describe(asked: Asked, replicas: int, desired: int) -> str:
    """Return a decision as people read it, such as `Concurrency 12.4 of 8 a pod: 2 -> 4`."""
    over = f" over {asked.over_seconds:g} s" if asked.over_seconds < STABLE_SECONDS else ""
    course = f"stays at {replicas}" if desired == replicas else f"{replicas} -> {desired}"
    asked_for = max(asked.replicas, 1)
    wanted = f", {asked_for} wanted" if asked_for != desired else ""
    return f"{asked.signal.type} {_measured(asked.signal, asked.usage)}{over}: {course}{wanted}"


def describe_missing(pods: Pods, signals: Sequence[tuple[Signal, Usage | None]]) -> str | None:
    """Return what is not known, None where everything is."""
    if not pods.ready:
        return "no pod is ready"
    return "; ".join(_missing(pods, signals)) or None


def _missing(pods: Pods, signals: Sequence[tuple[Signal, Usage | None]]) -> Iterator[str]:
    if pods.missing:
        verb = "does" if len(pods.missing) == 1 else "do"
        yield f"{len(pods.missing)} of {pods.ready} pods {verb} not answer"
    for signal, usage in signals:
        if signal.percent and not signal.whole:
            remedy = f"add spec.resources.requests.{signal.type.lower()}, or steer by averageValue"
            yield f"{signal.type} is a percentage of the request, and the pods request none: {remedy}"
        elif pods.answering and (usage is None or usage.missing > len(pods.missing)):
            untold = len(pods.answering) if usage is None else usage.missing - len(pods.missing)
            verb = "does" if untold == 1 else "do"
            yield f"{untold} of {pods.ready} pods {verb} not tell {signal.type}"


def _measured(signal: Signal, usage: Usage) -> str:
    kind = kind_of(signal)
    if kind.is_of_all_pods:
        return f"{_number(usage.total)}{kind.unit} of {_number(signal.target)}{kind.unit}"
    value = usage.total / usage.answering
    if signal.percent:
        return f"{_number(value)} % of {_number(signal.target)} %"
    if kind.unit == "B":
        return f"{_bytes(value)} of {_bytes(signal.target)} a pod"
    return f"{_number(value)} of {_number(signal.target)}{kind.unit} a pod"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(value: float) -> str:
    for size, suffix in _BINARY:
        if value >= size:
            return f"{_number(value / size)}{suffix}"
    return _number(value)
