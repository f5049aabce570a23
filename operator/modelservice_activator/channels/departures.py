"""Tells at once of clients that leave while nothing is read from them.

asyncio looks at a connection only while it reads. Here clients wait for minutes with more to say, which
stays in the kernel, and in front of it their end would not be seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelservice_activator.channels.channel import Channel


class Departures:
    """Watches the far ends of sockets, by an epoll of its own that the event loop looks at."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[], object]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    @contextlib.contextmanager
    def watching(self, channel: Channel, left: Callable[[], object]) -> Iterator[None]:
        """Call `left`, at most once, when the peer closes its side or is gone, for as long as this lasts."""
        number = channel.socket.fileno()
        if channel.is_closed or number < 0:
            left()
            yield
            return
        self._told[number] = left
        self._epoll.register(number, select.EPOLLRDHUP | select.EPOLLONESHOT)
        try:
            yield
        finally:
            # A socket that was closed meanwhile has left the epoll, and its number may be another's.
            if self._told.get(number) == left:
                del self._told[number]
            with contextlib.suppress(OSError, ValueError):
                if not channel.is_closed:
                    self._epoll.unregister(number)

    def _look(self) -> None:
        for number, _ in self._epoll.poll(0):
            told = self._told.pop(number, None)
            if told is not None:
                told()
