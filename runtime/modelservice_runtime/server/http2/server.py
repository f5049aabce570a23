"""Listening, the clock, shared counters, and the end of a server's life; one instance for each port."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from modelservice_runtime.server.http2.connection import Connection
from modelservice_runtime.server.http2.hpack import Header
from modelservice_runtime.server.http2.limits import Http2Limits
from modelservice_runtime.server.http2.session import Session
from modelservice_runtime.server.http2.stream import Stream
from modelservice_runtime.server.listener import Listener, open_listener
from modelservice_runtime.server.tls import TlsContext


class Http2Server(ABC):
    """Accepts connections; a subclass makes streams of their requests.

    ``now`` is the loop's time at the last sweep: exact enough for timeouts of seconds, and free to read.
    """

    def __init__(self, limits: Http2Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.loop = loop
        self.now = loop.time()
        self.buffered_bytes = 0
        self.open_streams = 0
        self.closing = False
        self.call_soon = loop.call_soon
        self.connections: set[Connection] = set()
        self._listener: Listener | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @abstractmethod
    def parse_head(self, headers: list[Header] | None) -> Any:
        """What ``open_stream`` wants to know of a request, for None of one whose headers are too large.

        Not None; it may be used for any number of streams. Raises StreamFailedError.
        """

    @abstractmethod
    def open_stream(self, session: Session, stream_id: int, head: Any) -> Stream:
        """Make the stream of a new request; it does nothing before ``opened``."""

    async def listen(self, host: str, port: int, tls: TlsContext | None = None) -> int:
        """Start accepting; returns the port, which the kernel chooses for 0.

        Raises AddressUnavailableError.
        """
        self._listener = await open_listener(self.loop, lambda: Connection(self), host, port, tls)
        self._sweep()
        return self._listener.port

    def start_closing(self) -> None:
        """Ask every client to go elsewhere; new connections are still served, a call or a few each."""
        self.closing = True
        for connection in list(self.connections):
            connection.start_leaving()

    async def drain(self, timeout_seconds: float) -> bool:
        """Stop accepting, wait for the calls in flight, close everything.

        Returns False when the timeout cut calls off.
        """
        self.closing = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            connection.close_when_idle()
        try:
            await asyncio.wait_for(self._wait_until_empty(), timeout_seconds)
        except TimeoutError:
            return self._abort_all()
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
        return True

    def opened(self, connection: Connection) -> bool:
        """Register a connection; False when there are too many."""
        self.connections.add(connection)
        return len(self.connections) <= self.limits.max_connections

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _abort_all(self) -> bool:
        """Close every connection at once; True when no call was in flight."""
        calls = self.open_streams
        for connection in list(self.connections):
            connection.abort()
        return not calls

    async def _wait_until_empty(self) -> None:
        while self.connections:
            self._empty.clear()
            await self._empty.wait()

    def _sweep(self) -> None:
        self.now = self.loop.time()
        for connection in list(self.connections):
            connection.check_deadline(self.now)
        self._sweeper = self.loop.call_later(self.limits.sweep_seconds, self._sweep)
