"""`grpc.health.v1.Health`, over the same readiness as every other probe.

Source: grpc, `doc/health-checking.md`.
"""

import asyncio
from collections.abc import Collection

from modelservice_runtime.models.health import Health
from modelservice_runtime.protocols.grpc.unary import UnaryHandler, parse_plain_request, unary_service
from modelservice_runtime.protos import health_pb2 as pb
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import CallHandler, GrpcCall, Service
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

SERVICE = "grpc.health.v1.Health"

# Readiness is asked for, not announced: this is how late a watcher may learn of a change.
_WATCH_SECONDS = 0.2


class HealthMethods:
    """Check and List: the server as a whole is the service "", and each of its services is as ready as it."""

    def __init__(self, health: Health, service_names: Collection[str]) -> None:
        self._health = health
        self._names = ("", *service_names)

    def status(self, service: str) -> pb.HealthCheckResponse.ServingStatus:
        """Readiness of one service; SERVICE_UNKNOWN for a name that the server does not have."""
        if service not in self._names:
            return pb.HealthCheckResponse.SERVICE_UNKNOWN
        return pb.HealthCheckResponse.SERVING if self._health.ready else pb.HealthCheckResponse.NOT_SERVING

    def check(self, request: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        """Check."""
        status = self.status(request.service)
        if status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
            raise GrpcError(GrpcStatus.NOT_FOUND, f"service {request.service[:100]!r} is unknown")
        return pb.HealthCheckResponse(status=status)

    def list_all(self, _request: pb.HealthListRequest) -> pb.HealthListResponse:
        """List."""
        response = pb.HealthListResponse()
        for name in self._names:
            response.statuses[name].status = self.status(name)
        return response


class _WatchHandler(UnaryHandler):
    """Sends the status now and whenever it changes, until the client leaves."""

    __slots__ = ("__weakref__", "_loop", "_methods", "_sent", "_service", "_streams", "_timer")

    def __init__(
        self, call: GrpcCall, methods: HealthMethods, streams: OpenStreams, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(call)
        self._methods = methods
        self._streams = streams
        self._loop = loop
        self._service = ""
        self._sent: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, message: bytes) -> None:
        self._service = parse_plain_request(pb.HealthCheckRequest, message).service
        self._streams.add(self)
        self._tell()

    def on_cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def end_when_idle(self, status: GrpcStatus, message: str) -> None:
        """See `Endable`."""
        self.on_cancel()
        self.call.finish(status, message)

    def _tell(self) -> None:
        # First of all: whatever becomes of this look, there is another.
        self._timer = self._loop.call_later(_WATCH_SECONDS, self._tell)
        status = self._methods.status(self._service)
        if status != self._sent:
            self.call.send(pb.HealthCheckResponse(status=status).SerializeToString())
            self._sent = status


def health_services(
    health: Health, service_names: Collection[str], streams: OpenStreams, loop: asyncio.AbstractEventLoop
) -> dict[str, Service]:
    """Every method of the service by its path."""
    methods = HealthMethods(health, service_names)

    def watch(call: GrpcCall) -> CallHandler:
        return _WatchHandler(call, methods, streams, loop)

    return {
        f"/{SERVICE}/Check": unary_service(pb.HealthCheckRequest, methods.check),
        f"/{SERVICE}/List": unary_service(pb.HealthListRequest, methods.list_all),
        f"/{SERVICE}/Watch": watch,
    }
