"""A follower for each service that scales, while this replica leads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modelservice_autoscaler import metrics
from modelservice_autoscaler.deciding.follower import Follower, Means
from modelservice_autoscaler.deciding.plan import is_followed

if TYPE_CHECKING:
    from modelservice_autoscaler.watching.services import Key


class Followers:
    """Starts followers; they end by themselves."""

    def __init__(self) -> None:
        self._means: Means | None = None
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None

    def consider(self, key: Key) -> None:
        """Something about this service has changed: see whether it has to be followed now."""
        if self._means is None or key in self._tasks:
            return
        service = self._means.services.get(key)
        if service is None or not is_followed(service):
            return
        task = asyncio.create_task(
            Follower(key, self._means).run(), name=f"follower {key.namespace}/{key.name}"
        )
        self._tasks[key] = task
        metrics.FOLLOWED.set(len(self._tasks))
        task.add_done_callback(lambda ended: self._on_end(key, ended))

    async def run(self, means: Means) -> None:
        """Follow until cancelled, or until a follower may not write any more: its error is raised."""
        self._failed = asyncio.get_running_loop().create_future()
        self._means = means
        for key in means.services:
            self.consider(key)
        try:
            await self._failed
        finally:
            self._means = None
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _on_end(self, key: Key, ended: asyncio.Task[None]) -> None:
        del self._tasks[key]
        metrics.FOLLOWED.set(len(self._tasks))
        error = None if ended.cancelled() else ended.exception()
        if error is not None and self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
        self.consider(key)
