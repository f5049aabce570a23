"""Whether modelservice-autoscaler lives, by its Lease: its decisions do not tell, at rest it writes none."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import ApiError, NotFoundError
from modelservice_operator.facts.kinds import LEASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

LOOK_SECONDS = 20.0
SILENT_SECONDS = 60.0
"""A change of leaders takes a quarter of that."""


@dataclass(kw_only=True)
class AutoscalerLook:
    """Looks at the Lease now and then, and tells the services where that says something else."""

    api: ApiClient
    ingest: Ingest
    namespace: str
    name: str
    clock: Callable[[], float] = time.monotonic
    _renewed: str | None = None
    _heard_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._heard_at = self.clock()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Clocks of two machines differ, so only a change counts; no answer says nothing."""
        try:
            lease = await self.api.get(LEASES, self.namespace, self.name)
        except NotFoundError:
            renewed = self._renewed
        except ApiError as error:
            log.info("cannot look at the Lease of the autoscaler: %s", error.message)
            self._heard_at = self.clock()
            return
        else:
            renewed = (lease.get("spec") or {}).get("renewTime")
        if renewed != self._renewed:
            self._renewed, self._heard_at = renewed, self.clock()
        self.ingest.on_autoscaler(is_silent=self.clock() - self._heard_at >= SILENT_SECONDS)
