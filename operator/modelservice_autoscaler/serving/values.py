"""What KEDA is told, from what the looks say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_operator.api.spec.autoscaling import NO_SUMS

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.decision import Reading
    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.watching.services import Service

ACTIVITY = "Activity"
"""Asks whether there are requests at all; no signal to scale by."""
ACTIVE_SECONDS = 10.0
"""A pod that had a request this long ago counts as active: KEDA asks every 5 s."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What a look says of requests."""

    ready: int
    silent: int
    """Of the ready pods, those that did not answer."""
    idle_seconds: float | None
    """Since when there was none; None where some pod, or all, did not say."""


def find_signal(service: Service, name: str) -> Signal | None:
    """Return the signal of a service by the name in a trigger; None where it has none like it."""
    return next((signal for signal in service.spec.signals if signal.type == name), None)


def is_active(service: Service, activity: Activity) -> bool:
    """Whether there are requests, or may be: who wakes up, and who does not answer, is not sent to sleep."""
    if service.replicas == 0:
        return False
    return activity.idle_seconds is None or activity.idle_seconds < ACTIVE_SECONDS


def value_of(signal: Signal, reading: Reading | None, service: Service, activity: Activity) -> float | None:
    """Return the value for an HPA's External metric, None where nothing is known.

    Of sums an HPA makes averages over the replicas. Pods that are missing keep what is there: where the
    others have less than the target they count as having it, else as having nothing, as an HPA does itself.
    While no pod is ready yet the value is that which changes nothing.
    """
    # Then KEDA's HPA multiplies the replicas with value / target.
    is_of_the_whole = signal.type in NO_SUMS
    if activity.ready == 0:
        return signal.target * (1 if is_of_the_whole else service.replicas)
    if reading is None or reading.value is None or reading.total is None:
        return None
    untold = max(activity.silent, reading.untold)
    if is_of_the_whole:
        return max(reading.value, signal.target) if untold else reading.value
    is_below = reading.value < signal.target
    return reading.total + (untold * signal.target if is_below else 0.0)
