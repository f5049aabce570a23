"""The states of all services, for Prometheus: read from the cache at each scrape, in portions.

Only the leader tells them: two replicas that watch the same objects would tell everything twice. A service
that is gone is in no cache, so its series end with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from modelservice_operator import metrics
from modelservice_operator.explain.states import FAMILIES, Family, read_states

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.cache.store import Store

PORTION = 50
"""Services that are read before others in the event loop have their turn: some 3 ms."""


class StatesPage:
    """What a scrape is told of each service, as text."""

    def __init__(self, store: Store, is_leading: Callable[[], bool], most_services: int) -> None:
        self._store = store
        self._is_leading = is_leading
        self._most_services = most_services

    async def __call__(self) -> list[bytes | bytearray]:
        """The text, family after family; nothing where another replica leads."""
        if not self._is_leading():
            metrics.UNREPORTED.set(0)
            return []
        pages = await self._read()
        heads = [f"# HELP {one.name} {one.text}\n# TYPE {one.name} gauge\n" for one in FAMILIES]
        return [
            part
            for head, family in zip(heads, FAMILIES, strict=True)
            for part in (head.encode(), pages[family])
        ]

    async def _read(self) -> dict[Family, bytearray]:
        pages = {family: bytearray() for family in FAMILIES}
        keys = self._store.service_keys()
        left_out = max(len(keys) - self._most_services, 0)
        for number, key in enumerate(keys[: self._most_services], start=1):
            entry = self._store.service(key)
            if entry is None:
                continue  # it went meanwhile
            try:
                lines = read_states(entry.raw)
            except msgspec.ValidationError:
                left_out += 1  # stored before the CRD checked it; its status says what is wrong
                continue
            for family, line in lines:
                pages[family] += line.encode()
            if number % PORTION == 0:
                await asyncio.sleep(0)
        metrics.UNREPORTED.set(left_out)
        return pages
