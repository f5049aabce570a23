"""Kinds that need not be there: what waits for one asks together with all others, with one call."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.kinds import Resource

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often to look whether an optional kind is served by now."""


class Offers:
    """Which API versions the cluster serves, looked at only while somebody waits for one."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._look: asyncio.Task[frozenset[str] | None] | None = None

    async def wait(self, resource: Resource) -> None:
        """Wait until it is worth asking for a kind: its API version is served, or nobody can tell."""
        while (served := await self._next_look()) is not None and resource.api_version not in served:
            pass

    async def _next_look(self) -> frozenset[str] | None:
        """What the next look finds, which all share that wait now; None where it finds out nothing."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_later(), name="look at API groups")
        return await asyncio.shield(self._look)

    async def _look_later(self) -> frozenset[str] | None:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            return await self._api.served_versions()
        except ApiError as error:
            log.info("cannot look at API groups: %s", error.message)
            return None


@dataclass(frozen=True)
class Absence:
    """What becomes of a kind that need not be there, where it is not."""

    tell: Callable[[bool], None]
    """Called then; with whether it is forbidden to us."""
    offers: Offers
