"""Sockets that listen for clients of services, two for each service, as the slices say."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING

from modelservice_activator import metrics
from modelservice_activator.channels.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelservice_activator.listening.clients import Clients
    from modelservice_activator.watching.services import Key, Service, Services

log = logging.getLogger(__name__)

BACKLOG = 1024
"""Connections that the kernel completes before we look; it costs nothing while nobody comes."""
LEAVE_SECONDS = 3.0
"""For so long we listen on where clients should no longer be led to us; every node hears it within 1 s."""
RETRY_SECONDS = 2.0
"""Between two tries for a port that somebody has."""
EVERY_ADDRESS = "::"

Door = tuple[tuple[str, str], str, int]
"""A service's key, the name of one of its ports, and the port's number here."""


class _Welcome(Channel):
    """A connection that has just come in."""

    def __init__(self, clients: Clients, door: Door, stall_seconds: float) -> None:
        super().__init__(stall_seconds)
        self._clients = clients
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it over."""
        super().connection_made(transport)
        self._clients.admit(self, self._door[0], self._door[1])


class Doors:
    """Listens for every service that may sleep, whether it does or not: it costs two sockets."""

    def __init__(self, services: Services, clients: Clients, host: str, stall_seconds: float) -> None:
        self._clients = clients
        self._host = host
        self._stall_seconds = stall_seconds
        self._wanted: dict[Key, frozenset[Door]] = {}
        self._open: dict[Door, asyncio.Server] = {}
        self._opening: dict[Door, asyncio.Task[None]] = {}
        self._failed: dict[Door, str] = {}
        self._is_leaving = False
        self._is_closed = False
        services.subscribe(self._on_change)

    def ports_of(self, key: Key) -> Mapping[str, int] | str:
        """Return the ports on which clients of a service are awaited; a sentence where one of them is not."""
        wanted = self._wanted.get(key)
        if self._is_leaving:
            return "this activator ends"
        if not wanted:
            return "no EndpointSlice asks for this service"
        for door in sorted(wanted - self._open.keys()):
            return f"port {door[2]} ({door[1]}): {self._failed.get(door, 'not open yet')}"
        return {name: number for _, name, number in wanted}

    async def keep_open(self) -> None:
        """Try again, for ever, for ports that could not be had."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            for door in list(self._failed):
                self._open_door(door)

    def leave(self) -> None:
        """Say of every service that clients should not be led here any more; who comes is let in."""
        self._is_leaving = True

    def close(self) -> None:
        """Take no new clients; those that have come stay."""
        self._is_leaving = self._is_closed = True
        for door in list(self._open):
            self._close_door(door)

    def _on_change(self, service: Service) -> None:
        before = self._wanted.pop(service.key, frozenset())
        wanted = frozenset((service.key, name, number) for name, number in service.ports.items())
        if wanted:
            self._wanted[service.key] = wanted
        for door in wanted - self._open.keys():
            self._open_door(door)
        for door in before - wanted:
            asyncio.get_running_loop().call_later(LEAVE_SECONDS, self._leave, door)

    def _is_wanted(self, door: Door) -> bool:
        return door in self._wanted.get(door[0], frozenset())

    def _leave(self, door: Door) -> None:
        if not self._is_wanted(door):
            self._close_door(door)

    def _open_door(self, door: Door) -> None:
        """Listen, or remember why not."""
        if self._is_closed or door in self._open or door in self._opening:
            return
        if not self._is_wanted(door):
            self._mend(door)
            return
        try:
            opened = _listen(self._host, door[2])
        except (OSError, OverflowError) as error:
            self._fail(door, error)
            return
        self._mend(door)
        self._opening[door] = asyncio.create_task(self._serve(door, opened), name=f"door {door[2]}")

    async def _serve(self, door: Door, opened: socket.socket) -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: _Welcome(self._clients, door, self._stall_seconds), sock=opened, backlog=BACKLOG
        )
        del self._opening[door]
        self._open[door] = server
        if self._is_closed or not self._is_wanted(door):
            self._close_door(door)
        metrics.LISTENING.set(len(self._open))

    def _close_door(self, door: Door) -> None:
        self._mend(door)
        server = self._open.pop(door, None)
        if server is not None:
            server.close()
        metrics.LISTENING.set(len(self._open))

    def _fail(self, door: Door, error: OSError | OverflowError) -> None:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "somebody else has it" if is_taken else str(error)
        if self._failed.get(door) != reason:
            (namespace, name), _, number = door
            log.warning("cannot listen: %s", reason, extra={"service": f"{namespace}/{name}", "port": number})
            metrics.TAKEN.labels(namespace, name, number).set(1)
        self._failed[door] = reason

    def _mend(self, door: Door) -> None:
        if self._failed.pop(door, None) is not None:
            (namespace, name), _, number = door
            with contextlib.suppress(KeyError):
                metrics.TAKEN.remove(namespace, name, number)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; `::` is every address of both families where the kernel has both."""
    if host == EVERY_ADDRESS and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104  what is left of every address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        # Connections of a former process that linger are no obstacle.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != EVERY_ADDRESS)
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened
