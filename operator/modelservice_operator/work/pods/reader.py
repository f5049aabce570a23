"""Reads pods, their events and their reports. Nothing is read at rest.

Pods are needed to explain why a revision is not available, and to compare what its replicas have loaded.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from modelservice_operator.facts.kinds import CORE_EVENTS, PODS
from modelservice_operator.facts.labels import NAME
from modelservice_operator.facts.pods import condition
from modelservice_operator.work.pods.nodes import NodeReader
from modelservice_operator.work.pods.reports import Answers, PodReports
from modelservice_operator.work.pods.watches import PodWatches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.nodes import Node

Pod = dict[str, Any]

FRESH_SECONDS = 0.9
"""Several reconciliations within a second (a Deployment rolls) share one list; a requeue comes after 1 s."""
STUCK_SECONDS = 1.0
"""A pod that waits longer than this for its containers may have a mount that fails; only events say so."""
EXPLAINED_PODS = 2
"""Pods whose events are read: those of one revision fail alike."""


class Pods(NamedTuple):
    """What was read about one service."""

    pods: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...] = ()
    answers: Answers = Answers({})
    are_followed: bool = False
    """Whoever reads is woken by every change of a pod."""
    nodes: tuple[Node, ...] | None = None
    """Where a pod finds no node: all that there are, if they may be read."""


class PodReader:
    """Reads the pods of one service, the warnings about those that do not start, and what the ready ones say.

    `wake` is called for services whose pods changed, or said something new.
    """

    def __init__(self, api: ApiClient, wake: Callable[[Key], None], *, reads_nodes: bool = True) -> None:
        self._api = api
        self._watches = PodWatches(api, wake)
        self._reports = PodReports(wake)
        self._nodes = NodeReader(api) if reads_nodes else None
        self._listed: dict[Key, tuple[float, tuple[Mapping[str, Any], ...]]] = {}
        self._events: dict[Key, tuple[float, tuple[Mapping[str, Any], ...]]] = {}

    async def read(self, key: Key, now: datetime, *, follow: bool) -> Pods:
        """What is there now; with `follow` changes wake the service until `forget`. Raises ApiError."""
        pods = await self.look(key, follow=follow)
        unexplained = stuck_pods(pods, now)[:EXPLAINED_PODS] + homeless_pods(pods, now)[:EXPLAINED_PODS]
        events = await self._read_events(key, unexplained)
        answers = self._reports.of(key, pods)
        nodes = await self._nodes.read() if self._nodes and any(map(is_homeless, pods)) else None
        return Pods(pods, events, answers, self._watches.pods(key) is not None, nodes)

    def forget(self, key: Key) -> None:
        """The service is fine, or gone."""
        self._watches.end(key)
        self._reports.forget(key)
        self._listed.pop(key, None)
        self._events.pop(key, None)

    async def look(self, key: Key, *, follow: bool = True) -> tuple[Mapping[str, Any], ...]:
        """The pods alone, as they are or were a moment ago. Raises ApiError."""
        followed = self._watches.pods(key)
        if followed is not None:
            return followed
        recent = self._listed.get(key)
        if recent is not None and time.monotonic() - recent[0] < FRESH_SECONDS:
            return recent[1]
        pages = [
            page async for page in self._api.list_pages(PODS, key.namespace, selector=f"{NAME}={key.name}")
        ]
        pods = [pod for page in pages for pod in page.items or ()]
        if follow and len(pages) == 1:
            # More than fit into one page are too many to keep.
            self._watches.begin(key, pods, pages[0].metadata.resource_version)
        self._listed[key] = (time.monotonic(), tuple(pods))
        return tuple(pods)

    def take(self, key: Key, pods: Sequence[Pod]) -> bool:
        """Keep pods that were read with those of others: `read` goes by them while they are fresh.

        Those that were not asked yet are asked now: whether the service is woken by what they say.
        """
        self._listed[key] = (time.monotonic(), tuple(pods))
        return self._reports.of(key, pods).is_pending

    async def _read_events(
        self, key: Key, stuck: Sequence[Mapping[str, Any]]
    ) -> tuple[Mapping[str, Any], ...]:
        if not stuck:
            return ()
        recent = self._events.get(key)
        if recent is not None and time.monotonic() - recent[0] < FRESH_SECONDS:
            return recent[1]
        events: list[dict[str, Any]] = []
        for pod in stuck:
            fields = f"involvedObject.kind=Pod,involvedObject.uid={pod['metadata']['uid']}"
            events += await self._api.list_by(CORE_EVENTS, key.namespace, fields=fields)
        self._events[key] = (time.monotonic(), tuple(events))
        return tuple(events)


def stuck_pods(pods: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Pods that have a node but, after a moment, still no container that was started."""
    return [pod for pod in pods if has_not_started(pod) and _age_seconds(pod, now) >= STUCK_SECONDS]


def homeless_pods(pods: Sequence[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Pods that no node has room for: whether a cluster autoscaler makes room, only events say."""
    return [pod for pod in pods if is_homeless(pod) and _age_seconds(pod, now) >= STUCK_SECONDS]


def is_homeless(pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler has found no node for the pod."""
    return condition(pod, "PodScheduled").get("reason") == "Unschedulable"


def has_not_started(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has a node and no container that was started: what it waits for, only events say."""
    status = pod.get("status") or {}
    metadata = pod["metadata"]
    if status.get("phase") != "Pending" or not pod.get("spec", {}).get("nodeName"):
        return False
    if "deletionTimestamp" in metadata:
        return False
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return all("waiting" in one.get("state", {}) and not one.get("restartCount") for one in statuses)


def _age_seconds(pod: Mapping[str, Any], now: datetime) -> float:
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return (now - created.astimezone(UTC)).total_seconds()
