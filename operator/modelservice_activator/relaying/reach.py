"""From a request that is held to a connection to its pod, of which nothing has been used yet."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.channels.channel import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.holding.holder import Held
    from modelservice_activator.watching.services import Address


@asynccontextmanager
async def reached(held: Held, connect_seconds: float) -> AsyncIterator[Channel]:
    """Wait for a pod that can be reached, and yield a connection to it; raises Refusal.

    Nothing is tried again once a connection stands: from then on the pod may have got the request.
    """
    while True:
        address = await held.pod()
        channel = await _connect(held, address, connect_seconds)
        if channel is not None:
            break
    held.passed()
    try:
        yield channel
    finally:
        channel.abort()
        held.release(address)


async def _connect(held: Held, address: Address, connect_seconds: float) -> Channel | None:
    """Return a connection; None where there is none, which is told."""
    try:
        return await connect(*address, connect_seconds)
    except OSError:
        metrics.CONNECT_FAILURES.inc()
        held.release(address, unreachable=True)
        return None
    except BaseException:
        held.release(address)
        raise
