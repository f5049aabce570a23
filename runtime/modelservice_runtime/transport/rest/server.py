"""The REST port: HTTP/1.1 and HTTP/2, with TLS by ALPN and without it by prior knowledge."""

import asyncio
from functools import cached_property

from modelservice_runtime.transport.http1.port import HttpPort
from modelservice_runtime.transport.http2.connection import Connection as Http2Connection
from modelservice_runtime.transport.rest.opening import Opening
from modelservice_runtime.transport.rest.streams import RequestStreams


class RestServer(HttpPort):
    """See the module's text, and `HttpPort`."""

    @cached_property
    def http2(self) -> RequestStreams:
        """What connections of HTTP/2 share."""
        return RequestStreams(self)

    def make_connection(self) -> asyncio.Protocol:
        """See `PortServer`."""
        return Opening(self, self.http2)

    def start_closing(self) -> None:
        """Ask every client to go elsewhere; those of HTTP/1.1 hear it with their next answer."""
        super().start_closing()
        for connection in list(self.connections):
            if isinstance(connection, Http2Connection):
                connection.start_leaving()

    def sweep(self) -> None:
        """See `PortServer`."""
        self.http2.heads.forget()
        super().sweep()

    @property
    def is_idle(self) -> bool:
        """See `PortServer`; clients of HTTP/2 stay connected for a moment when all is answered."""
        return not self.http2.open_streams and all(
            isinstance(connection, Http2Connection) for connection in self.connections
        )
