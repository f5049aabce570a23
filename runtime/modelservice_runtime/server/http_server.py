"""Listening, the clock, and the end of a server's life; one instance for each port."""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TypeAlias

from modelservice_runtime.server.connection import Connection
from modelservice_runtime.server.http import HttpLimits, HttpRequest, RequestHead, render_start
from modelservice_runtime.server.listener import Listener, open_listener
from modelservice_runtime.server.tls import TlsContext

Application: TypeAlias = Callable[[HttpRequest], None]

# Clients that put something new into every head fill this; it is emptied then.
_MAX_KNOWN_HEADS = 512
_MAX_KNOWN_HEAD_BYTES = 2048


class HttpServer:
    """Accepts connections and hands complete requests to ``application``.

    ``now`` is the loop's time at the last sweep: exact enough for timeouts of seconds, and free to read.
    ``known_heads`` holds parsed heads by their bytes: clients say the same with every request, and the same
    bytes mean the same.
    """

    def __init__(self, application: Application, limits: HttpLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.application = application
        self.limits = limits
        self.now = loop.time()
        self.known_heads: dict[bytes, RequestHead] = {}
        self._starts: dict[tuple[int, bytes], bytes] = {}
        self.buffered_bytes = 0
        self.closing = False
        self.call_soon = loop.call_soon
        self.connections: set[Connection] = set()
        self._loop = loop
        self._listener: Listener | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def listen(self, host: str, port: int, tls: TlsContext | None = None) -> int:
        """Start accepting; returns the port, which the kernel chooses for 0.

        Raises AddressUnavailableError.
        """
        self._listener = await open_listener(self._loop, lambda: Connection(self), host, port, tls)
        self._sweep()
        return self._listener.port

    def start_closing(self) -> None:
        """From now on every answer closes its connection; new ones are still accepted."""
        self.closing = True

    async def drain(self, timeout_seconds: float) -> bool:
        """Stop accepting, wait for the requests in flight, close everything.

        Returns False when the timeout cut requests off.
        """
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        try:
            await asyncio.wait_for(self._wait_until_empty(), timeout_seconds)
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()
            return False
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

    def remember(self, data: bytes, head: RequestHead) -> None:
        """Keep a parsed head, the bytes of which are ``data``, unless it is unusually large."""
        if len(data) <= _MAX_KNOWN_HEAD_BYTES:
            if len(self.known_heads) >= _MAX_KNOWN_HEADS:
                self.known_heads.clear()
            self.known_heads[data] = head

    def response_start(self, status: int, content_type: bytes) -> bytes:
        """See ``http.render_start``; rendered once for each sweep."""
        key = (status, content_type)
        start = self._starts.get(key)
        if start is None:
            date = formatdate(time.time(), usegmt=True).encode("ascii")
            start = self._starts[key] = render_start(status, content_type, date)
        return start

    async def _wait_until_empty(self) -> None:
        while self.connections:
            self._empty.clear()
            await self._empty.wait()

    def _sweep(self) -> None:
        self.now = self._loop.time()
        self._starts.clear()  # they carry the date
        for connection in list(self.connections):
            connection.check_deadline(self.now)
        self._sweeper = self._loop.call_later(self.limits.sweep_seconds, self._sweep)
