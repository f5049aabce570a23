"""From a signal to replicas, as Kubernetes' HPA computes it.

"Algorithm details" in its documentation; pkg/controller/podautoscaler/replica_calculator.go of its source.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from modelservice_autoscaler.algorithm.kinds import kind_of

if TYPE_CHECKING:
    from modelservice_autoscaler.algorithm.signals import Usage
    from modelservice_autoscaler.algorithm.spec import Signal, Tolerance

_DIGITS = 6
"""Sums of floats are not exact: 32.000000000000004 of 8 a pod are 4 pods."""


def propose_replicas(signal: Signal, usage: Usage, unready: int, replicas: int, tolerance: Tolerance) -> int:
    """Return how many replicas a signal asks for; `replicas` where it asks for no change.

    Pods that do not answer count as idle where more are asked for, and as used up where fewer are; pods that
    are not ready count as idle where more are asked for. Where that turns the direction, nothing changes.
    """
    if kind_of(signal).is_of_all_pods:
        return _of_the_whole(signal, usage, replicas, tolerance)
    ratio = usage.total / (signal.target * usage.answering)
    counted = usage.answering + usage.missing + (unready if ratio > 1.0 else 0)
    if counted == usage.answering:
        return replicas if _is_tolerated(ratio, tolerance) else _ceil(usage.total / signal.target)
    total = usage.total + (usage.missing * _used_up(signal) if ratio < 1.0 else 0.0)
    corrected = total / (signal.target * counted)
    if _is_tolerated(corrected, tolerance) or (ratio < 1.0) != (corrected < 1.0):
        return replicas
    proposed = _ceil(total / signal.target)
    turned = proposed > replicas if corrected < 1.0 else proposed < replicas
    return replicas if turned else proposed


def _of_the_whole(signal: Signal, usage: Usage, replicas: int, tolerance: Tolerance) -> int:
    ratio = usage.total / signal.target
    if _is_tolerated(ratio, tolerance):
        return replicas
    if ratio > 1.0:
        return max(_ceil(ratio * usage.answering), replicas)
    return _ceil(ratio * (usage.answering + usage.missing))


def _used_up(signal: Signal) -> float:
    """What a pod counts for that does not answer: its target, in percent at least its whole request."""
    return max(signal.target, 100.0) if signal.percent else signal.target


def _is_tolerated(ratio: float, tolerance: Tolerance) -> bool:
    return -tolerance.down <= round(ratio - 1.0, _DIGITS) <= tolerance.up


def _ceil(value: float) -> int:
    return ceil(round(value, _DIGITS))
