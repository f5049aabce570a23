"""The HTTP/1 port: accepts connections and hands complete requests to an application."""

from modelservice_runtime.transport.http1.connection import Connection
from modelservice_runtime.transport.http1.port import HttpPort


class HttpServer(HttpPort):
    """See the module's text."""

    def make_connection(self) -> Connection:
        """See `PortServer`."""
        return Connection(self)
