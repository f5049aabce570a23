"""What the ready pods of one service said last, from look to look."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from modelservice_autoscaler import metrics
from modelservice_autoscaler.algorithm.load import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modelservice_autoscaler.looking.answer import Answer
    from modelservice_autoscaler.looking.connection import PodConnection
    from modelservice_autoscaler.looking.pods import PodClient
    from modelservice_autoscaler.watching.endpoints import Endpoint


class Looks:
    """The looks at one service."""

    def __init__(self, pods: PodClient, clock: Callable[[], float]) -> None:
        self._pods = pods
        self._clock = clock
        self._connections: dict[str, PodConnection] = {}
        self._samples: dict[str, Sample | None] = {}
        self._last: tuple[Answer | None, ...] = ()
        self.is_busy = False
        """Whether requests were in some pod since the look before."""

    @property
    def samples(self) -> Mapping[str, Sample | None]:
        """The newest answer of each pod that was ready at the last look; None where it never answered."""
        return self._samples

    @property
    def silent(self) -> int:
        """How many of those pods did not answer at the last look."""
        return sum(answer is None for answer in self._last)

    @property
    def idle_seconds(self) -> float | None:
        """Since when no pod has had a request; None unless all of them said so just now, and there is one."""
        if not self._last:
            return None
        said = [answer.idle_seconds for answer in self._last if answer is not None]
        return min(said) if len(said) == len(self._last) else None

    async def look(self, endpoints: Sequence[Endpoint]) -> None:
        """Ask each pod once, all of them side by side."""
        began = self._clock()
        answers = await asyncio.gather(*(self._ask(one) for one in endpoints))
        metrics.LOOK_SECONDS.observe(self._clock() - began)
        for uid in self._connections.keys() - {one.uid for one in endpoints}:
            self._connections.pop(uid).close()
        before, self._samples = self._samples, {}
        self.is_busy = False
        for endpoint, (asked_at, answer) in zip(endpoints, answers, strict=True):
            old = before.get(endpoint.uid)
            new = Sample(asked_at, answer.load) if answer is not None else old
            self._samples[endpoint.uid] = new
            self.is_busy = self.is_busy or _has_worked(old, new)
        self._last = tuple(answer for _, answer in answers)

    def close(self) -> None:
        """Look no more."""
        while self._connections:
            self._connections.popitem()[1].close()

    async def _ask(self, endpoint: Endpoint) -> tuple[float, Answer | None]:
        connection = self._connections.get(endpoint.uid)
        if connection is None:
            connection = self._connections[endpoint.uid] = self._pods.connect(endpoint.address)
        asked_at = self._clock()
        return asked_at, await self._pods.ask(connection)


def _has_worked(old: Sample | None, new: Sample | None) -> bool:
    if old is None or new is None:
        return True
    return (old.load.requests, old.load.in_flight_seconds) != (new.load.requests, new.load.in_flight_seconds)
