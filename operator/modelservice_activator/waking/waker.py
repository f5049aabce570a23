"""Sees to it that a service for which somebody waits has replicas."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.watching.listeners import read_wish
from modelservice_operator.facts.errors import ApiError, ConflictError, NotFoundError
from modelservice_operator.facts.kinds import MODEL_SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_activator.watching.services import Key, Service, Services, Wish
    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 2.0
QUIET_SECONDS = 5.0
"""A watch that brought nothing for so long after a write is asked again: it may be half open."""


class Waker:
    """Writes 1 to `/scale` of services with 0, once per sleep; retries until it is there or nobody waits."""

    def __init__(self, api: ApiClient, services: Services) -> None:
        self._api = api
        self._services = services
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._news: dict[Key, asyncio.Event] = {}
        self._written: dict[Key, int] = {}
        """The resourceVersion that our last write led to: what is older is no new sleep."""
        services.subscribe(self._on_change)

    def wake(self, key: Key, is_waited_for: Callable[[], bool]) -> None:
        """See to it that the service has replicas, for as long as somebody waits."""
        if key not in self._tasks:
            self._news[key] = asyncio.Event()
            name = f"wake {'/'.join(key)}"
            self._tasks[key] = asyncio.create_task(self._keep_awake(key, is_waited_for), name=name)
            self._tasks[key].add_done_callback(_say_failure)

    async def close(self) -> None:
        """Wake nobody any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_change(self, service: Service) -> None:
        if service.key in self._news:
            self._news[service.key].set()

    async def _keep_awake(self, key: Key, is_waited_for: Callable[[], bool]) -> None:
        try:
            await self._try_until(key, is_waited_for)
        finally:
            # In the same turn in which nobody waited: whoever waits next starts a new one.
            del self._tasks[key], self._news[key]

    async def _try_until(self, key: Key, is_waited_for: Callable[[], bool]) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while is_waited_for():
            self._news[key].clear()
            wish = self._sleeping(key)
            if wish is None or int(wish.version) <= self._written.get(key, 0):
                await self._wait_for_news(key, look_again=wish is not None)
            elif await self._write(key, wish):
                pause_seconds = FIRST_PAUSE_SECONDS
            else:
                await asyncio.sleep(pause_seconds * (0.5 + random.random() / 2))  # noqa: S311  no secret
                pause_seconds = min(2 * pause_seconds, LAST_PAUSE_SECONDS)

    def _sleeping(self, key: Key) -> Wish | None:
        service = self._services.get(key)
        wish = service.wish if service is not None else None
        return wish if wish is not None and wish.sleeps else None

    async def _wait_for_news(self, key: Key, *, look_again: bool) -> None:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._news[key].wait()
        except TimeoutError:
            if look_again:
                await self._look(key)

    async def _write(self, key: Key, wish: Wish) -> bool:
        """Try once; whether there is nothing to try again with the same knowledge."""
        patch = {"metadata": {"resourceVersion": wish.version}, "spec": {"replicas": 1}}
        try:
            answer = await self._api.patch_subresource(MODEL_SERVICES, *key, "scale", patch)
        except (ConflictError, NotFoundError):
            metrics.WAKES.labels("conflict").inc()
            return await self._look(key)
        except ApiError as error:
            metrics.WAKES.labels("failed").inc()
            log.warning("cannot wake %s: %s", "/".join(key), error.message)
            return False
        metrics.WAKES.labels("written").inc()
        log.info("woke a service", extra={"service": "/".join(key)})
        self._written[key] = int(answer["metadata"]["resourceVersion"])
        return True

    async def _look(self, key: Key) -> bool:
        """Somebody else wrote first: look at what there is now; whether that could be seen."""
        try:
            self._services.set_wish(key, read_wish(await self._api.get(MODEL_SERVICES, *key)))
        except NotFoundError:
            self._services.set_wish(key, None)
        except ApiError as error:
            log.warning("cannot look at %s: %s", "/".join(key), error.message)
            return False
        return True


def _say_failure(task: asyncio.Task[None]) -> None:
    """An error of ours: the next who waits tries again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: %s", task.get_name(), error, exc_info=error)
