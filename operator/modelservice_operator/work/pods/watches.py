"""Watches of the pods of few services: those that are not available, for as long as they are not.

Pods are not watched cluster-wide: there are many more of them than of everything else. One label-selected
watch for each service that waits costs a connection; there are few at a time. Whoever has waited longest
gives its place to one that has just begun: a person who has just made a mistake is told at once, and a
service without a place is looked at now and then. A watch that breaks is not opened again, for the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelservice_operator import metrics
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import PODS
from modelservice_operator.facts.labels import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.answers import WatchEvent
    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

MAX_WATCHES = 32
"""Connections to the API server, and lists of pods in memory."""
SHORTEST_LIFE_SECONDS = 1.0
"""A server that ends watches faster than this must not be asked again and again."""

Pod = dict[str, Any]


@dataclass(eq=False)
class _Followed:
    """The pods of one service by UID, kept current by `task`."""

    pods: dict[str, Pod]
    task: asyncio.Task[None] | None = field(default=None)


class PodWatches:
    """Follows the pods of some services and calls `wake` when they changed, or are followed no more."""

    def __init__(self, api: ApiClient, wake: Callable[[Key], None]) -> None:
        self._api = api
        self._wake = wake
        self._followed: dict[Key, _Followed] = {}
        """In the order in which they were begun."""
        self._begun: set[Key] = set()
        """Services that have, or had, a watch since they began to wait."""

    def pods(self, key: Key) -> tuple[Mapping[str, Any], ...] | None:
        """The service's pods as they are now, None where they are not followed."""
        followed = self._followed.get(key)
        return tuple(followed.pods.values()) if followed is not None else None

    def begin(self, key: Key, pods: list[Pod], version: str) -> None:
        """Follow the pods of a service from a list on; once until `end`."""
        if key in self._begun:
            return
        self._begun.add(key)
        if len(self._followed) >= MAX_WATCHES:
            self._drop(next(iter(self._followed)))
        followed = self._followed[key] = _Followed({pod["metadata"]["uid"]: _trim(pod) for pod in pods})
        followed.task = asyncio.create_task(self._follow(key, followed, version), name=f"pods of {key.name}")
        followed.task.add_done_callback(lambda task: self._ended(key, followed, task))
        metrics.POD_WATCHES.set(len(self._followed))

    def end(self, key: Key) -> None:
        """The service waits no more."""
        self._begun.discard(key)
        self._drop(key)

    def _drop(self, key: Key) -> None:
        followed = self._followed.pop(key, None)
        if followed is not None and followed.task is not None:
            followed.task.cancel()
        metrics.POD_WATCHES.set(len(self._followed))

    def _ended(self, key: Key, followed: _Followed, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, ApiError):
            log.info("pods are followed no more: %s", error.message, extra={"service": key.name})
        elif error is not None:
            log.error("following pods broke", exc_info=error, extra={"service": key.name})
        if self._followed.get(key) is followed:
            self._drop(key)
            self._wake(key)

    async def _follow(self, key: Key, followed: _Followed, version: str) -> None:
        """Until the server refuses, or ends a watch as soon as it has begun. Raises ApiError."""
        selector = f"{NAME}={key.name}"
        while True:
            started = time.monotonic()
            async for event in self._api.watch(PODS, key.namespace, version, selector):
                version = event.object["metadata"]["resourceVersion"]
                if _take(followed.pods, event):
                    self._wake(key)
            if time.monotonic() - started < SHORTEST_LIFE_SECONDS:
                return


def _take(pods: dict[str, Pod], event: WatchEvent) -> bool:
    """Bring the pods up to date; whether that changed anything."""
    if event.type == "BOOKMARK":
        return False
    uid = event.object["metadata"]["uid"]
    if event.type == "DELETED":
        return pods.pop(uid, None) is not None
    pod = _trim(event.object)
    if pods.get(uid) == pod:
        return False
    pods[uid] = pod
    return True


def _trim(pod: Pod) -> Pod:
    """Without what nobody reads and what every write changes."""
    unread = ("managedFields", "resourceVersion")
    metadata = {name: value for name, value in pod["metadata"].items() if name not in unread}
    return {"metadata": metadata, "spec": pod.get("spec") or {}, "status": pod.get("status") or {}}
