"""The questions to pods: short, and few at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modelservice_autoscaler import metrics
from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_autoscaler.looking.connection import PodConnection
from modelservice_operator.facts import ports

if TYPE_CHECKING:
    from modelservice_autoscaler.looking.answer import Answer

TIMEOUT_SECONDS = 1.0
"""A pod that takes longer is missing data until the next look, a second later."""
AT_ONCE = 256
"""Questions under way: addresses that swallow packets, a node's worth of them, leave room for the others."""


class PodClient:
    """Asks pods how busy they are."""

    def __init__(self, port: int = ports.METRICS) -> None:
        self._port = port
        self._places = asyncio.Semaphore(AT_ONCE)

    def connect(self, address: str) -> PodConnection:
        """A connection to the pod at this address, to be closed when the pod is gone."""
        return PodConnection(address, self._port)

    async def ask(self, pod: PodConnection) -> Answer | None:
        """What the pod says; None where it says nothing that can be used."""
        try:
            async with self._places, asyncio.timeout(TIMEOUT_SECONDS):
                raw = await pod.ask()
            answer = parse_answer(raw)
        except (TimeoutError, OSError, ValueError):
            metrics.LOOKS.labels("silent").inc()
            return None
        metrics.LOOKS.labels("ok").inc()
        return answer
