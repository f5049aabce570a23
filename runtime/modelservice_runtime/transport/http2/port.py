"""What the connections of an HTTP/2 port share: limits, counters, and how a request becomes a stream."""

import asyncio
from abc import abstractmethod
from typing import Any

from modelservice_runtime.transport.http2.headers.hpack import Header
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.stream import Stream, StreamOwner
from modelservice_runtime.transport.port_server import ConnectionT, PortServer


class Http2Port(PortServer[ConnectionT]):
    """See the module's text. A subclass makes streams of requests."""

    def __init__(self, limits: Http2Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limits, loop)
        self.limits = limits
        self.open_streams = 0

    @abstractmethod
    def parse_head(self, headers: list[Header] | None) -> Any:
        """What `open_stream` wants to know of a request, for None of one whose headers are too large.

        Not None; it may be used for any number of streams. Raises StreamFailedError.
        """

    @abstractmethod
    def open_stream(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """Make the stream of a new request; it does nothing before `opened`."""

    @abstractmethod
    def open_probe(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """The same on a connection beyond the limit, where only probes are served."""

    @property
    def is_idle(self) -> bool:
        """See `PortServer`."""
        return not self.open_streams
