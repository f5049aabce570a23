"""What the connections of an HTTP/2 port share: limits, counters, and how a request becomes a stream."""

import asyncio
from abc import abstractmethod
from typing import Any

from modelservice_runtime.transport.http2.connection import Connection
from modelservice_runtime.transport.http2.hpack import Header
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.session import Session
from modelservice_runtime.transport.http2.stream import Stream
from modelservice_runtime.transport.port_server import PortServer


class Http2Server(PortServer[Connection]):
    """Accepts connections; a subclass makes streams of their requests."""

    def __init__(self, limits: Http2Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limits, loop)
        self.limits = limits
        self.open_streams = 0

    @abstractmethod
    def parse_head(self, headers: list[Header] | None) -> Any:
        """What ``open_stream`` wants to know of a request, for None of one whose headers are too large.

        Not None; it may be used for any number of streams. Raises StreamFailedError.
        """

    @abstractmethod
    def open_stream(self, session: Session, stream_id: int, head: Any) -> Stream:
        """Make the stream of a new request; it does nothing before ``opened``."""

    def make_connection(self) -> Connection:
        """See ``PortServer``."""
        return Connection(self)

    @property
    def is_idle(self) -> bool:
        """See ``PortServer``."""
        return not self.open_streams

    def start_closing(self) -> None:
        """Ask every client to go elsewhere; new connections are still served, a call or a few each."""
        super().start_closing()
        for connection in list(self.connections):
            connection.start_leaving()
