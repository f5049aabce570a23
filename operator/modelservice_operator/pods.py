"""Reads pods and their events to explain why a revision is not available. Nothing is read at rest.

Pods are not watched: a cluster has many more of them than of everything else together.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_operator.kinds import CORE_EVENTS, PODS
from modelservice_operator.labels import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelservice_operator.kubeapi import ApiClient
    from modelservice_operator.workqueue import Key

FRESH_SECONDS = 0.9
"""Several reconciliations within a second (a Deployment rolls) share one list; a requeue comes after 1 s."""
STUCK_SECONDS = 3.0
"""A pod that waits longer than this for its containers may have a mount that fails; only events say so."""
EXPLAINED_PODS = 2
"""Pods whose events are read: those of one revision fail alike."""


class Pods(NamedTuple):
    """What was read about one service."""

    pods: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]


class PodReader:
    """Lists the pods of one service and the warnings about those that do not start."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._recent: dict[Key, tuple[float, Pods]] = {}

    async def read(self, key: Key, now: datetime) -> Pods:
        """Pods of the service and Warning events about stuck ones; raises ApiError."""
        recent = self._recent.get(key)
        if recent is not None and time.monotonic() - recent[0] < FRESH_SECONDS:
            return recent[1]
        pods = tuple(await self._api.list_by(PODS, key.namespace, labels=f"{NAME}={key.name}"))
        events: list[dict[str, Any]] = []
        for pod in stuck_pods(pods, now)[:EXPLAINED_PODS]:
            fields = f"involvedObject.kind=Pod,involvedObject.uid={pod['metadata']['uid']},type=Warning"
            events += await self._api.list_by(CORE_EVENTS, key.namespace, fields=fields)
        result = Pods(pods, tuple(events))
        self._recent[key] = (time.monotonic(), result)
        return result

    def forget(self, key: Key) -> None:
        """The service is fine, or gone."""
        self._recent.pop(key, None)


def stuck_pods(pods: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Pods that have a node but, after some seconds, still no container that was started."""
    return [pod for pod in pods if _is_stuck(pod, now)]


def _is_stuck(pod: Mapping[str, Any], now: datetime) -> bool:
    status = pod.get("status") or {}
    metadata = pod["metadata"]
    if status.get("phase") != "Pending" or not pod.get("spec", {}).get("nodeName"):
        return False
    if "deletionTimestamp" in metadata:
        return False
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if any("waiting" not in one.get("state", {}) or one.get("restartCount") for one in statuses):
        return False
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    return (now - created.astimezone(UTC)).total_seconds() >= STUCK_SECONDS
