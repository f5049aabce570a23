"""Which version of HTTP a client speaks: what TLS agreed on (ALPN), or else by its first bytes."""

import asyncio
from typing import Any

from modelservice_runtime.transport.http1.connection import Connection as Http1Connection
from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http2.connection import Connection as Http2Connection
from modelservice_runtime.transport.http2.framing.frames import PREFACE
from modelservice_runtime.transport.http2.port import Http2Host
from modelservice_runtime.transport.tls import HTTP_2

# No request of HTTP/1 begins so.
_FIRST_WORD = PREFACE[:4]


class Opening(asyncio.Protocol):
    """A connection's protocol until it is known; in plain text it is one of HTTP/1.1 that has said nothing.

    So it has its place and its timeouts from the start.
    """

    def __init__(self, port: HttpPort, http2: Http2Host) -> None:
        self._http1 = Http1Connection(port)
        self._http2 = http2
        self._transport: Any = None
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            self._http1.connection_made(transport)
        elif tls.selected_alpn_protocol() == HTTP_2:
            self._begin_http2()
        else:
            self._transport.set_protocol(self._http1)
            self._http1.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Decide, or wait for a little more."""
        first = self._first + data if self._first else data
        if first[:4] != _FIRST_WORD[: len(first)] or not self._http1.waits_for_request:
            self._transport.set_protocol(self._http1)
            self._http1.data_received(first)
        elif len(first) < len(_FIRST_WORD):
            self._first = first
        else:
            self._http1.connection_lost(None)
            self._begin_http2().data_received(first)

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on."""
        self._http1.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Passed on."""
        return self._http1.eof_received()

    def pause_writing(self) -> None:
        """Passed on."""
        self._http1.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._http1.resume_writing()

    def _begin_http2(self) -> Http2Connection:
        connection = Http2Connection(self._http2)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        return connection
