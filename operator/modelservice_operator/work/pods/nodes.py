"""Reads nodes, to say what they lack: only while a pod finds none, and not more often than that takes.

Nobody needs the right to list them: without it the scheduler's own sentence is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import NODES
from modelservice_operator.facts.nodes import read_node

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.nodes import Node

log = logging.getLogger(__name__)

FRESH_SECONDS = 30.0
"""All services that wait share one list: a node is 10 KB or more, and their kinds rarely change."""
REFUSED_SECONDS = 300.0
MOST_NODES = 5000
"""As many as Kubernetes is made for; more are too many to read for one sentence."""


class NodeReader:
    """The nodes of the cluster, as they are or were half a minute ago."""

    def __init__(self, api: ApiClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._nodes: tuple[Node, ...] | None = None
        self._read_again_at = -1.0
        self._turn = asyncio.Lock()

    async def read(self) -> tuple[Node, ...] | None:
        """All nodes; None where they may not be read, cannot be, or are too many."""
        async with self._turn:
            if self._clock() >= self._read_again_at:
                self._nodes = None
                fresh_seconds = FRESH_SECONDS
                try:
                    self._nodes = await self._list()
                except ApiError as error:
                    log.info("nodes are not looked at: %s", error.message)
                    fresh_seconds = REFUSED_SECONDS if error.status == 403 else FRESH_SECONDS
                self._read_again_at = self._clock() + fresh_seconds
            return self._nodes

    async def _list(self) -> tuple[Node, ...] | None:
        nodes: list[Node] = []
        async for page in self._api.list_pages(NODES, None):
            nodes += [read_node(item) for item in page.items or ()]
            if len(nodes) > MOST_NODES:
                return None
        return tuple(nodes)
