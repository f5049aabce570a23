"""What stands around a server's applications where nobody asked for a log or traces: nothing."""

from collections.abc import Mapping

from modelservice_runtime.transport.grpc.stream import Service
from modelservice_runtime.transport.http import HttpApplication


class Observation:
    """Leaves everything as it is."""

    def watch(self, application: HttpApplication) -> HttpApplication:
        """Put the observers around an HTTP front end."""
        return application

    def watch_services(self, services: Mapping[str, Service]) -> Mapping[str, Service]:
        """Put the observers around the gRPC services."""
        return services

    def close(self) -> None:
        """Write and send what is left, for a bounded time."""
