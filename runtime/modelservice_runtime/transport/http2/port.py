"""What the connections of an HTTP/2 port share: limits, counters, and how a request becomes a stream."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from modelservice_runtime.transport.http2.headers.hpack import Header
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.http2.stream import Stream, StreamOwner
from modelservice_runtime.transport.port_server import ConnectionT, Place, PortServer


class Http2Host(Protocol):
    """What a connection asks of its port: places, the clock, and what becomes of requests.

    `open_streams` and `buffered_bytes` count over all connections. See `PortServer` for the rest.
    """

    limits: Http2Limits
    open_streams: int

    @property
    def call_soon(self) -> Callable[[Callable[[], None]], object]:
        """See `PortServer`."""

    @property
    def now(self) -> float:
        """See `PortServer`."""

    @property
    def buffered_bytes(self) -> int:
        """See `PortServer`."""

    @buffered_bytes.setter
    def buffered_bytes(self, held_bytes: int) -> None: ...

    def opened(self, connection: Any) -> Place:
        """See `PortServer`."""

    def answered(self, connection: Any) -> None:
        """See `PortServer`."""

    def closed(self, connection: Any) -> None:
        """See `PortServer`."""

    def age_limit(self) -> float:
        """See `PortServer`."""

    def parse_head(self, headers: list[Header] | None) -> Any:
        """What `open_stream` wants to know of a request, for None of one whose headers are too large.

        Not None; it may be used for any number of streams. Raises StreamFailedError.
        """

    def open_stream(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """Make the stream of a new request; it does nothing before `opened`."""

    def open_probe(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """The same on a connection beyond the limit, where only probes are served."""


class Http2Port(PortServer[ConnectionT]):
    """A port that speaks nothing else; see `Http2Host`."""

    def __init__(self, limits: Http2Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limits, loop)
        self.limits = limits
        self.open_streams = 0

    @abstractmethod
    def parse_head(self, headers: list[Header] | None) -> Any:
        """See `Http2Host`."""

    @abstractmethod
    def open_stream(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """See `Http2Host`."""

    @abstractmethod
    def open_probe(self, session: StreamOwner, stream_id: int, head: Any) -> Stream:
        """See `Http2Host`."""

    @property
    def is_idle(self) -> bool:
        """See `PortServer`."""
        return not self.open_streams
