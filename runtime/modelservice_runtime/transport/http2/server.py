"""An HTTP/2 port: accepts connections, and asks them to go elsewhere."""

from modelservice_runtime.transport.http2.connection import Connection
from modelservice_runtime.transport.http2.port import Http2Port


class Http2Server(Http2Port[Connection]):
    """See the module's text."""

    def make_connection(self) -> Connection:
        """See `PortServer`."""
        return Connection(self)

    def start_closing(self) -> None:
        """Ask every client to go elsewhere; new connections are still served, for a second each."""
        super().start_closing()
        for connection in list(self.connections):
            connection.start_leaving()
