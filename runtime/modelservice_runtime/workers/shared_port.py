"""A port that several processes listen on (SO_REUSEPORT): chosen and kept by a parent that never listens."""

import socket
from types import TracebackType
from typing import Self

from modelservice_runtime.errors import AddressUnavailableError


class SharedPort:
    """Holds ``number`` as long as it is entered; the kernel chooses for port 0.

    Raises AddressUnavailableError on entry, also where somebody else shares the port already: two servers
    would take each other's requests.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self.number = port

    def __enter__(self) -> Self:
        try:
            self._socket = _hold(self._host, self._port)
        except (OSError, OverflowError) as error:
            cause = error.strerror if isinstance(error, OSError) else str(error)
            raise AddressUnavailableError(
                f"cannot listen on {self._host}:{self._port} ({cause}); choose another port or stop its user"
            ) from error
        self.number = self._socket.getsockname()[1]
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()


def _hold(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if port != 0:
        with socket.socket(family, kind, protocol) as alone:
            # As a server that shares nothing would: connections of a former one that linger are no obstacle.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
    held = socket.socket(family, kind, protocol)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held
