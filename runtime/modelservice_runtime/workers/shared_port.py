"""A port that several processes listen on (SO_REUSEPORT): chosen and kept by a parent that never listens."""

import socket
from types import TracebackType
from typing import Self

from modelservice_runtime.transport.sockets import open_sockets


class SharedPort:
    """Holds `number` as long as it is entered; the kernel chooses for port 0.

    Raises AddressUnavailableError on entry, also where somebody else shares the port already: two servers
    would take each other's requests.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._sockets: list[socket.socket] = []
        self.number = port

    def __enter__(self) -> Self:
        if self._port != 0:
            # As a server that shares nothing would.
            _close(open_sockets(self._host, self._port))
        self._sockets = open_sockets(self._host, self._port, shared=True)
        self.number = self._sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _close(self._sockets)


def _close(sockets: list[socket.socket]) -> None:
    for opened in sockets:
        opened.close()
