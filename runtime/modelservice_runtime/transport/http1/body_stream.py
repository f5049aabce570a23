"""The body of an answer that comes in pieces: chunked (RFC 9112, 7.1), or up to the connection's end."""

from collections.abc import Callable
from typing import Protocol

from modelservice_runtime.transport.http import HttpRequest
from modelservice_runtime.transport.streaming import Producer

LAST_CHUNK = b"0\r\n\r\n"


class StreamConnection(Protocol):
    """What a stream asks of its connection."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that its client has not taken yet."""

    def write_piece(self, data: bytes) -> None:
        """Send bytes, framed already."""

    def end_stream(self, stream: "BodyStream") -> None:
        """The body is complete."""

    def abort(self) -> None:
        """Close at once."""


class BodyStream:
    """See `AnswerStream`. `closes` tells that nothing follows on its connection.

    Without `has_body` (HEAD) all that is written is dropped.
    """

    __slots__ = ("_connection", "_is_chunked", "closes", "has_body", "producer", "request")

    def __init__(
        self,
        connection: StreamConnection,
        request: HttpRequest,
        producer: Producer,
        *,
        closes: bool,
    ) -> None:
        self._connection: StreamConnection | None = connection
        self._is_chunked = not request.head.is_http_1_0
        self.request = request
        self.producer = producer
        self.closes = closes
        self.has_body = request.method != b"HEAD"

    @property
    def on_disconnect(self) -> Callable[[], None] | None:
        """What the request's client leaving means."""
        return self.request.on_disconnect

    @property
    def on_cut_off(self) -> Callable[[], None]:
        """What the server's end means."""
        return self.producer.cut_off

    @property
    def received_ns(self) -> int:
        """When the request was complete."""
        return self.request.received_ns

    @property
    def last_bytes(self) -> bytes:
        """What the end of the body looks like."""
        return LAST_CHUNK if self._is_chunked and self.has_body else b""

    @property
    def unsent_bytes(self) -> int:
        """See `AnswerStream`."""
        return 0 if self._connection is None else self._connection.waiting_bytes

    def write(self, data: bytes) -> None:
        """See `AnswerStream`. A chunk without bytes would end the body."""
        if self._connection is not None and data and self.has_body:
            self._connection.write_piece(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self) -> None:
        """See `AnswerStream`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end_stream(self)

    def abort(self) -> None:
        """See `AnswerStream`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def lose(self) -> None:
        """The connection has ended."""
        self._connection = None
