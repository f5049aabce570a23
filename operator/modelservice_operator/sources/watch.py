"""Our own list and watch: a fifth of the CPU that kopf needs for an event.

The loop never ends by itself: 410 (as HTTP status or in the stream), other ERROR events, cut and silent
streams, broken JSON and expired list pages all lead to a new watch, or a new list, after a backoff.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Protocol

from modelservice_operator import common_metrics
from modelservice_operator.facts.errors import ApiError, GoneError, TransportError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Set

    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.kinds import Resource
    from modelservice_operator.sources.offers import Absence

log = logging.getLogger(__name__)

BASE_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
HEALTHY_SECONDS = 5.0
"""A watch that lived this long was no failure."""
FORBIDDEN, NOT_FOUND = 403, 404
RELIST_AFTER_FAILURES = 3
"""A watch that is refused again and again may be refused for its starting point."""
CONFIRM_SECONDS = 5.0
"""An API server that has just started may not know yet what it serves."""
ITEMS_PER_TURN = 50
"""Listed items (0.2 ms each) handled before other tasks get a turn."""


class Listener(Protocol):
    """What becomes of the objects that a watch brings."""

    def on_object(self, event: str | None, obj: Mapping[str, Any]) -> None:
        """An object of a list (None), or of an event: ADDED, MODIFIED or DELETED."""

    def on_list(self, seen: Container[tuple[str, str]], version: str) -> None:
        """A list of this version is complete: what is not in it, by namespace and name, was gone by then."""


class Seen:
    """What stands after a list: all that it held, and whatever lies outside of the namespace it was of."""

    def __init__(self, namespace: str | None, places: Set[tuple[str, str]]) -> None:
        self._namespace = namespace
        self._places = places

    def __contains__(self, place: object) -> bool:
        is_elsewhere = (
            self._namespace is not None and isinstance(place, tuple) and place[0] != self._namespace
        )
        return is_elsewhere or place in self._places


class ResourceWatch:
    """Keeps a listener current about one kind of objects, for as long as `run` runs."""

    def __init__(
        self,
        api: ApiClient,
        resource: Resource,
        listener: Listener,
        *,
        namespace: str | None = None,
        selector: str = "",
        absence: Absence | None = None,
    ) -> None:
        self._api = api
        self._resource = resource
        self._listener = listener
        self._namespace = namespace
        self._selector = selector
        self._absence = absence
        """Of a kind that need not be there."""
        self._was_there = False
        """Whether the last list found the kind."""
        self._failures = 0
        self._progressed = False
        """Whether the current attempt has brought anything."""
        self._version: str | None = None
        """The last state that was handled; None: list first."""
        for cause in ("ended", "expired", "broken"):
            common_metrics.WATCH_RESTARTS.labels(resource.plural, cause)  # told as 0 before the first one
        self.listed = asyncio.Event()
        """Set once the first list is complete."""

    async def run(self) -> None:
        """List, then watch, for ever."""
        while True:
            started = time.monotonic()
            cause = await self._list_and_watch()
            common_metrics.WATCH_RESTARTS.labels(self._resource.plural, cause).inc()
            await asyncio.sleep(self._backoff_seconds(time.monotonic() - started))

    async def _list_and_watch(self) -> str:
        """One attempt; returns why it ended. What was handled so far is resumed from, if that can be."""
        self._progressed = False
        try:
            if self._version is None:
                self._version = await self._list()
                self._was_there = True
                self.listed.set()
            await self._watch(self._version)
        except GoneError:
            self._version = None
            return "expired"
        except ApiError as error:
            return await self._refused(error)
        return "ended"

    async def _refused(self, error: ApiError) -> str:
        """What to do where the API server did not answer, or not with objects."""
        if isinstance(error, TransportError):
            log.info("watch of %s broke: %s", self._resource.plural, error.message)
            return "broken"
        if self._absence is not None and error.status in (FORBIDDEN, NOT_FOUND):
            return await self._absent(self._absence, is_forbidden=error.status == FORBIDDEN)
        log.warning("cannot list or watch %s: %s", self._resource.plural, error.message)
        if (self._failures + 1) % RELIST_AFTER_FAILURES == 0:
            self._version = None
        return f"http-{error.status}"

    async def _absent(self, absence: Absence, *, is_forbidden: bool) -> str:
        """Tell that the kind is not there; of one that was, only where that is said twice."""
        self._version = None
        if self._was_there:
            self._was_there = False
            await asyncio.sleep(CONFIRM_SECONDS)
            return "absent"
        absence.tell(is_forbidden)
        self.listed.set()
        await absence.offers.wait(self._resource)
        return "absent"

    async def _list(self) -> str:
        """Tell the listener of all objects; returns the list's resourceVersion."""
        async with self._api.lists:
            return await self._list_pages()

    async def _list_pages(self) -> str:
        seen: set[tuple[str, str]] = set()
        version = ""
        async for page in self._api.list_pages(self._resource, self._namespace, selector=self._selector):
            version = page.metadata.resource_version
            for index, item in enumerate(page.items or ()):
                metadata = item["metadata"]
                seen.add((metadata.get("namespace", ""), metadata["name"]))
                self._listener.on_object(None, item)
                if index % ITEMS_PER_TURN == ITEMS_PER_TURN - 1:
                    await asyncio.sleep(0)
        self._listener.on_list(Seen(self._namespace, seen), version)
        return version

    async def _watch(self, version: str) -> None:
        """Follow the stream until it ends."""
        async for event in self._api.watch(self._resource, self._namespace, version, self._selector):
            common_metrics.WATCH_EVENTS.labels(self._resource.plural).inc()
            if event.type != "BOOKMARK":
                self._listener.on_object(event.type, event.object)
            self._version = event.object["metadata"]["resourceVersion"]
            self._progressed = True

    def _backoff_seconds(self, lived_seconds: float) -> float:
        """No pause after a long watch, a short one after progress, else exponential.

        An instant end must not become a busy loop; cuts while there is news must not delay the news.
        """
        if lived_seconds >= HEALTHY_SECONDS:
            self._failures = 0
            return 0.0
        self._failures = 0 if self._progressed else self._failures + 1
        backoff = min(BASE_BACKOFF_SECONDS * 2 ** max(0, min(self._failures, 16) - 1), MAX_BACKOFF_SECONDS)
        return float(backoff * (0.5 + random.random() / 2))  # noqa: S311  jitter is no secret
