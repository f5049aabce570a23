"""Pods that are being stopped: their GPU and their part of a quota are free only when they are gone. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_operator.facts import labels
from modelservice_operator.facts.text.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from modelservice_operator.facts.observed import DeploymentChild, Observed

LOST_AFTER_SECONDS = 30.0
"""A kubelet that answers removes a pod within seconds of its grace period; that of a lost node never does."""
_ENDED = ("Failed", "Succeeded")


class Leaving(NamedTuple):
    """How many pods are being stopped, and when one of them counts as lost if it is still there then."""

    pods: int | None
    """None where only a look at the pods can tell."""
    recheck_seconds: float | None = None


def count_leaving(observed: Observed, deployments: Mapping[str, DeploymentChild], now: datetime) -> Leaving:
    """Return the pods that are being stopped: as they were looked at, else as Deployments count them."""
    if observed.pods is not None:
        return _count(observed.pods, deployments, now)
    counts = [one.terminating_replicas for one in deployments.values() if one.observed_generation > 0]
    return Leaving(None if None in counts else sum(count for count in counts if count))


def _count(
    pods: Iterable[Mapping[str, Any]], deployments: Mapping[str, DeploymentChild], now: datetime
) -> Leaving:
    # The pods may have been read a moment before the Deployments were: one that its Deployment does not count
    # any more is leaving, though it was not seen being deleted.
    existing, leaving = Counter[str](), Counter[str]()
    lost_at = []
    for pod in pods:
        time = _lost_at(pod)
        if (pod.get("status") or {}).get("phase") in _ENDED or (time is not None and time <= now):
            continue
        existing[_revision(pod)] += 1
        if time is not None:
            leaving[_revision(pod)] += 1
            lost_at.append(time)
    counted = {name: one.replicas for name, one in deployments.items()}
    return Leaving(
        sum(max(leaving[name], count - counted.get(name, 0)) for name, count in existing.items()),
        min(((time - now).total_seconds() for time in lost_at), default=None),
    )


def _revision(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(labels.REVISION))


def _lost_at(pod: Mapping[str, Any]) -> datetime | None:
    """Return when a pod that is being deleted counts as lost; `deletionTimestamp` ends its grace period."""
    ends_at = parse_time(pod["metadata"].get("deletionTimestamp"))
    return ends_at + timedelta(seconds=LOST_AFTER_SECONDS) if ends_at else None
