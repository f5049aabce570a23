"""A follower for each service that scales, while this replica leads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modelservice_autoscaler import metrics
from modelservice_autoscaler.deciding.follower import Follower
from modelservice_autoscaler.deciding.plan import is_followed

if TYPE_CHECKING:
    from modelservice_autoscaler.looking.sight import Sight
    from modelservice_autoscaler.watching.services import Key
    from modelservice_autoscaler.writing.writer import Writer


class Followers:
    """Starts followers; they end by themselves."""

    def __init__(self, sight: Sight, writer: Writer) -> None:
        self._sight = sight
        self._writer = writer
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None
        """Set to the error of the first follower that may not write any more; None while nobody leads."""

    async def run(self) -> None:
        """Follow until cancelled, or until a follower may not write any more: its error is raised."""
        self._failed = asyncio.get_running_loop().create_future()
        services = self._sight.services
        services.on_change = self._consider
        for key in services:
            self._consider(key)
        try:
            await self._failed
        finally:
            self._failed = None
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _consider(self, key: Key) -> None:
        """Something about this service has changed: see whether it has to be followed now."""
        service = self._sight.services.get(key)
        if self._failed is None or key in self._tasks or service is None or not is_followed(service):
            return
        follower = Follower(key, self._sight, self._writer)
        task = asyncio.create_task(follower.run(), name=f"follower {key.namespace}/{key.name}")
        self._tasks[key] = task
        metrics.FOLLOWED.set(len(self._tasks))
        task.add_done_callback(lambda ended: self._on_end(key, ended))

    def _on_end(self, key: Key, ended: asyncio.Task[None]) -> None:
        del self._tasks[key]
        metrics.FOLLOWED.set(len(self._tasks))
        error = None if ended.cancelled() else ended.exception()
        if error is not None and self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
        self._consider(key)
