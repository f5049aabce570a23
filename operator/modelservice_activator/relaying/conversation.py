"""Which protocol a client speaks, by its first bytes, and the end of its connection whatever it speaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from modelservice_activator.relaying.http1.relay import Http1Relay
from modelservice_activator.relaying.http2.relay import Http2Relay
from modelservice_activator.relaying.tunnel import Tunnel

if TYPE_CHECKING:
    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.relaying.visit import Visit

TLS_HANDSHAKE = b"\x16"
"""The type of the record with which TLS begins (RFC 8446, 5.1); no request of HTTP does."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""With which HTTP/2 begins (RFC 9113, 3.4)."""


class Relay(Protocol):
    """Serves a connection."""

    async def run(self, first: bytes) -> None:
        """Serve the connection, whose first bytes these are, to its end."""


async def converse(visit: Visit) -> None:
    """Serve one connection of a client; it is closed afterwards."""
    try:
        first = await _first_bytes(visit.channel)
        if first:
            await _relay_of(first, visit).run(first)
    except ConnectionError:
        pass
    except asyncio.CancelledError:
        if not visit.closes_gently:
            raise
        await visit.channel.close_gently()
    finally:
        visit.keep(0)
        visit.channel.abort()


async def _first_bytes(channel: Channel) -> bytes:
    """Return what is enough to tell the protocols apart; b"" where the client says nothing."""
    first = await channel.read()
    while first and len(first) < len(PREFACE) and PREFACE.startswith(first):
        more = await channel.read()
        if not more:
            break
        first += more
    return first


def _relay_of(first: bytes, visit: Visit) -> Relay:
    if first.startswith(TLS_HANDSHAKE):
        return Tunnel(visit)
    return Http2Relay(visit) if first.startswith(PREFACE) else Http1Relay(visit)
