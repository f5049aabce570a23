"""The clients that are connected: how many there may be, and who goes when."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.relaying.conversation import converse
from modelservice_activator.relaying.visit import Visit

if TYPE_CHECKING:
    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.visit import Means
    from modelservice_activator.watching.services import Key, Service, Services

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.25
"""Between two looks at who has been silent for too long; limits are seconds."""


class Clients:
    """All connections of clients, each served by a task of its own."""

    def __init__(self, services: Services, means: Means) -> None:
        self._services = services
        self._means = means
        self._visits: dict[Visit, asyncio.Task[None]] = {}
        self._of_service: Counter[Key] = Counter()
        self._is_ending = False
        services.subscribe(self._on_change)

    def admit(self, channel: Channel, key: Key, port: str) -> None:
        """Serve a new connection; where there are too many, one that asks for nothing makes room."""
        limits = self._means.limits
        if self._of_service[key] >= limits.connections_per_service:
            self._make_room(key)
        elif len(self._visits) >= limits.connections:
            self._make_room(None)
        if len(self._visits) >= limits.connections or self._of_service[key] >= limits.connections_per_service:
            metrics.TURNED_AWAY.inc()
            channel.abort()
            return
        visit = Visit(self._means, channel, key, port)
        visit.is_retired = self._is_ending or not self._leads_here(key)
        self._visits[visit] = task = asyncio.create_task(converse(visit), name=f"client of {'/'.join(key)}")
        self._of_service[key] += 1
        metrics.CONNECTIONS.set(len(self._visits))
        task.add_done_callback(lambda done: self._ended(visit, done))

    async def sweep(self) -> None:
        """Close, for ever, what has been silent for too long."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for visit, task in list(self._visits.items()):
                if visit.is_overdue(now):
                    visit.rest(math.inf)
                    visit.closes_gently = True
                    task.cancel()

    def retire_all(self) -> None:
        """Send every client elsewhere with its next request: the process ends."""
        self._is_ending = True
        for visit in list(self._visits):
            visit.retire()

    async def end(self, timeout_seconds: float) -> None:
        """Wait until all are served, at most for so long, then cut them off."""
        if self._visits:
            await asyncio.wait(list(self._visits.values()), timeout=timeout_seconds)

    async def cut(self) -> None:
        """End all connections now."""
        tasks = list(self._visits.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self, key: Key | None) -> None:
        """Cut off the one that has been here longest without asking for anything; `key`: of this service."""
        for visit, task in self._visits.items():
            if visit.is_resting and key in (None, visit.key):
                self._forget(visit)
                metrics.TURNED_AWAY.inc()
                visit.channel.abort()
                task.cancel()
                return

    def _on_change(self, service: Service) -> None:
        """Pods answer again, or the service may sleep no more: its clients are to go to them."""
        if self._leads_here(service.key) or not self._of_service[service.key]:
            return
        for visit in list(self._visits):
            if visit.key == service.key:
                visit.retire()

    def _leads_here(self, key: Key) -> bool:
        service = self._services.get(key)
        return service is not None and service.leads_here

    def _ended(self, visit: Visit, task: asyncio.Task[None]) -> None:
        self._forget(visit)
        visit.channel.abort()  # a task that is cancelled in its first turn has done nothing
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a client was cut off: %s", error, exc_info=error)

    def _forget(self, visit: Visit) -> None:
        if self._visits.pop(visit, None) is None:
            return
        self._of_service[visit.key] -= 1
        if not self._of_service[visit.key]:
            del self._of_service[visit.key]
        metrics.CONNECTIONS.set(len(self._visits))
