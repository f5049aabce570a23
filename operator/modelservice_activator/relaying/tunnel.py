"""TLS: bytes whose meaning is between the client and the pod. They are passed on as they are."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.holding.refusals import Refusal
from modelservice_activator.relaying.reach import reached

if TYPE_CHECKING:
    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.visit import Visit


class Tunnel:
    """One connection, whole: it is held like one request, and cut when it is retired and unused."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    async def run(self, first: bytes) -> None:
        """Serve the connection, whose first bytes these are, to its end."""
        visit, outcome = self._visit, "left"
        visit.work()
        visit.channel.stop_reading()
        task = asyncio.current_task()
        assert task is not None
        try:
            with visit.means.holder.hold(visit.key, visit.port) as held:
                held.grow(len(first))
                with contextlib.ExitStack() as waiting:
                    waiting.enter_context(visit.means.departures.watching(visit.channel, task.cancel))
                    async with reached(held, visit.means.connect_seconds) as pod:
                        # From here on a client that has said all may still listen.
                        waiting.close()
                        outcome = "passed"
                        pod.write(first)
                        await self._pass_both_ways(pod)
        except Refusal:
            # There are no words before the handshake.
            outcome = "refused"
            visit.channel.reset()
        finally:
            metrics.REQUESTS.labels("tunnel", outcome).inc()

    async def _pass_both_ways(self, pod: Channel) -> None:
        client = self._visit.channel
        ways = [asyncio.create_task(self._pass(client, pod)), asyncio.create_task(self._pass(pod, client))]
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, source: Channel, target: Channel) -> None:
        limits = self._visit.means.limits
        while True:
            self._visit.rest(math.inf, retired_seconds=limits.tunnel_idle_seconds)
            data = await source.read()
            if not data:
                break
            target.write(data)
            await target.drain()
        target.write_end()
