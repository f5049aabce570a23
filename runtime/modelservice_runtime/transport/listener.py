"""Accepting connections, plain or through a TLS handshake; the same for every port.

asyncio's own TLS servers keep one context for ever and count nothing before the handshake is done. Here each
handshake takes the context of the moment, and only so many are under way: when there are more, the oldest
has to go, so that clients who connect and say nothing cannot keep others out.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from modelservice_runtime.transport.sockets import open_sockets
from modelservice_runtime.transport.tls import TlsContext

log = logging.getLogger(__name__)

# Kernel queue of connections not yet accepted; the kernel caps it at net.core.somaxconn.
_BACKLOG = 1024
# A handshake takes a few round trips; one that waits for its client holds some 50 KB.
_MAX_HANDSHAKES = 512
_HANDSHAKE_TIMEOUT_SECONDS = 10.0
_SHUTDOWN_TIMEOUT_SECONDS = 2.0
# Others have their turn on the event loop in between.
_ACCEPTS_AT_ONCE = 32
_EXHAUSTED_PAUSE_SECONDS = 1.0

MakeProtocol = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Listener:
    """An open port; `close` stops accepting."""

    port: int
    close: Callable[[], None]


async def open_listener(
    loop: asyncio.AbstractEventLoop,
    make_protocol: MakeProtocol,
    host: str,
    port: int,
    tls: TlsContext | None,
    *,
    shared: bool = False,
    max_handshakes: int = _MAX_HANDSHAKES,
) -> Listener:
    """Start accepting on `port`, which the kernel chooses for 0.

    With `shared` other processes may listen on it too, and the kernel gives each connection to one of them.
    `max_handshakes` bounds those of TLS that are under way. Raises AddressUnavailableError.
    """
    sockets = open_sockets(host, port, shared=shared, backlog=_BACKLOG)
    number = sockets[0].getsockname()[1]
    if tls is not None:
        entrance = _TlsEntrance(loop, make_protocol, sockets, tls, min(max_handshakes, _MAX_HANDSHAKES))
        return Listener(number, entrance.close)
    servers = [await loop.create_server(make_protocol, sock=each, backlog=_BACKLOG) for each in sockets]

    def close() -> None:
        for server in servers:
            server.close()

    return Listener(number, close)


class _TlsEntrance:
    """The handshakes of one port."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_protocol: MakeProtocol,
        sockets: list[socket.socket],
        tls: TlsContext,
        max_handshakes: int,
    ) -> None:
        self._loop = loop
        self._make_protocol = make_protocol
        self._sockets = sockets
        self._tls = tls
        self._max_handshakes = max_handshakes
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._watch()

    def close(self) -> None:
        """Stop accepting; handshakes under way end."""
        if self._pause is not None:
            self._pause.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for task in self._handshakes:
            task.cancel()

    def _watch(self) -> None:
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, _address = listening.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._wait_for_resources(error)
                return
            self._start_handshake(connection)

    def _wait_for_resources(self, error: OSError) -> None:
        """Without file descriptors or memory the port would be reported as readable again at once."""
        log.error("cannot accept connections", extra={"error": error.strerror})
        for listening in self._sockets:
            self._loop.remove_reader(listening)
        self._pause = self._loop.call_later(_EXHAUSTED_PAUSE_SECONDS, self._watch)

    def _start_handshake(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        if len(self._handshakes) >= self._max_handshakes:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._shake_hands(connection))
        self._handshakes[task] = None
        task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._tls.current,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_SECONDS,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_SECONDS,
            )
        except OSError:
            return  # TLS errors are OSErrors too: the client's fault, and the connection is closed already
