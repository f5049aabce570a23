"""Reads the pods of many ready services with one list, for comparing what they loaded: in no hurry.

Every change of a Deployment asks for a comparison. One list for each would be half of what a change of
replicas costs the API server, so services wait for each other a little while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import PODS
from modelservice_operator.facts.labels import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.work.pods.reader import Pod, PodReader

log = logging.getLogger(__name__)

GATHER_SECONDS = 5.0
"""The longest that a service waits for others; people have been told by then that it is ready."""
MOST_SERVICES = 32
"""In one list: what is read has to be compared while it is fresh."""
PAUSE_SECONDS = 1.0
"""After a list. Thousands of services may be due after a start."""


class Rounds:
    """Services that wait for their pods to be read; `wake` is called for those whose turn it is."""

    def __init__(self, api: ApiClient, pods: PodReader, wake: Callable[[Key], None]) -> None:
        self._api = api
        self._pods = pods
        self._wake = wake
        self._waiting: dict[str, dict[Key, None]] = {}
        """By namespace, who came first first."""
        self._called: set[Key] = set()
        self._joined = asyncio.Event()
        self._full = asyncio.Event()
        """Set when a list is worth its call."""

    def is_turn(self, key: Key) -> bool:
        """Whether the service's pods were read, or could not be; if not, it waits for that from now on."""
        if key in self._called:
            return True
        waiting = self._waiting.setdefault(key.namespace, {})
        waiting[key] = None
        self._joined.set()
        if len(waiting) >= MOST_SERVICES:
            self._full.set()
        return False

    def leave(self, key: Key) -> None:
        """The service does not wait any more."""
        self._called.discard(key)
        waiting = self._waiting.get(key.namespace, {})
        waiting.pop(key, None)
        if not waiting:
            self._waiting.pop(key.namespace, None)

    async def run(self) -> None:
        """Read the pods of those that wait, list after list, for ever."""
        while True:
            await self._joined.wait()
            self._joined.clear()
            while self._waiting:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), GATHER_SECONDS)
                await self._read_next()
                if max(map(len, self._waiting.values()), default=0) < MOST_SERVICES:
                    self._full.clear()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _read_next(self) -> None:
        """Read the pods of one namespace's services: where most of them wait."""
        namespace = max(self._waiting, key=lambda one: len(self._waiting[one]), default="")
        keys = list(self._waiting.get(namespace, ()))[:MOST_SERVICES]
        if not keys:
            return
        try:
            found = await self._list(namespace, [key.name for key in keys])
        except ApiError as error:
            # Each reads its own then, which says in its status what cannot be read.
            log.info("cannot read the pods of several services: %s", error.message)
            found = None
        for key in keys:
            if key not in self._waiting.get(namespace, {}):
                continue
            self.leave(key)
            self._called.add(key)
            if found is None or not self._pods.take(key, found.get(key.name, [])):
                self._wake(key)

    async def _list(self, namespace: str, names: list[str]) -> dict[str, list[Pod]]:
        """The pods of some services by the service's name. Raises ApiError."""
        found: dict[str, list[Pod]] = {}
        async for page in self._api.list_pages(PODS, namespace, selector=f"{NAME} in ({','.join(names)})"):
            for pod in page.items or ():
                found.setdefault(pod["metadata"]["labels"][NAME], []).append(pod)
        return found
