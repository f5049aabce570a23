"""The ports of one server: opened together, and drained together."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from modelservice_runtime.errors import AddressUnavailableError
from modelservice_runtime.machine.descriptors import allow_files
from modelservice_runtime.protocols.open_paths import GRPC_PROBES, OPEN_GRPC_PATHS, is_open_target
from modelservice_runtime.protocols.refusals import refusal_response
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.server import GrpcServer
from modelservice_runtime.transport.grpc.stream import Admission, Service
from modelservice_runtime.transport.http import HttpApplication, HttpLimits
from modelservice_runtime.transport.http1.port import Admission as HttpAdmission
from modelservice_runtime.transport.http1.server import HttpServer
from modelservice_runtime.transport.http2.limits import Http2Limits
from modelservice_runtime.transport.port_server import Places, places_within
from modelservice_runtime.transport.rest.server import RestServer
from modelservice_runtime.transport.tls import LoadedTls

log = logging.getLogger(__name__)

# Bodies in flight over all connections: enough for a queue of images, little enough for a small container.
_MIN_BUFFERED_BYTES = 512 * 1024 * 1024
# Who asks for metrics are a few machines.
METRICS_LIMITS = HttpLimits(max_body_bytes=0, max_connections=64)
# Of few open files the metrics port has so many.
_METRICS_SHARE = 4


@dataclass(frozen=True, slots=True)
class Applications:
    """What answers on each port; `admit` is asked before gRPC calls, `admit_http` before HTTP's bodies.

    `grpc` is services by the path of their method, `grpc_streams` the calls that only the server can end.
    Without `metrics` this is a worker: its parent has that port, and other workers share the rest.
    """

    rest: HttpApplication
    metrics: HttpApplication | None
    grpc: Mapping[str, Service]
    grpc_streams: OpenStreams
    admit: Admission | None
    admit_http: HttpAdmission | None = None


@dataclass(frozen=True, slots=True)
class Ports:
    """Open ports; gRPC's may be off, and a worker has none for metrics."""

    rest: RestServer
    metrics: HttpServer | None
    grpc: GrpcServer | None
    grpc_streams: OpenStreams
    max_buffered_bytes: int

    @property
    def holds_requests(self) -> bool:
        """Whether anything of a request or an answer is here, whole or in part."""
        return self.rest.buffers.in_use

    def limit_buffers(self, limit_bytes: int) -> None:
        """Let requests and answers of all clients hold so much together, where that is less than before."""
        self.rest.buffers.withhold(max(self.max_buffered_bytes - limit_bytes, 0))

    def start_closing(self) -> None:
        """From now on clients are asked to go elsewhere; new connections are still accepted."""
        self.rest.start_closing()
        if self.grpc is not None:
            self.grpc.start_closing()

    async def drain(self, timeout_seconds: float) -> bool:
        """Stop accepting and finish what is under way; False when the timeout cut requests off."""
        drains = [self.rest.drain(timeout_seconds)]
        if self.grpc is not None:
            self.grpc_streams.end_all()
            drains.append(self.grpc.drain(timeout_seconds))
        return all(await asyncio.gather(*drains))


@contextmanager
def saying_flag(flag: str) -> Iterator[None]:
    """Say of a port that cannot be listened on which flag it is of."""
    try:
        yield
    except AddressUnavailableError as error:
        raise AddressUnavailableError(f"{error.sentence}; it is --{flag}") from error


async def open_ports(
    settings: ServeSettings, applications: Applications, tls: LoadedTls, loop: asyncio.AbstractEventLoop
) -> Ports:
    """Listen on every port and log which they are. Raises AddressUnavailableError."""
    largest = settings.max_request_bytes
    buffered = max(_MIN_BUFFERED_BYTES, 2 * largest)
    places, metrics_places = _share_out_files(settings)
    slowness = {**asdict(settings.connections), **asdict(places)}
    limits = HttpLimits(max_body_bytes=largest, max_buffered_bytes=buffered, **slowness)
    shared = applications.metrics is None
    rest = RestServer(
        applications.rest, limits, loop, applications.admit_http, is_open_target, refusal_response
    )
    metrics = grpc = None
    listening: dict[str, object] = {"host": settings.host}
    with saying_flag("http-port"):
        listening["http_port"] = await rest.listen(settings.host, settings.http_port, tls.http, shared=shared)
    if applications.metrics is not None:
        metrics_limits = replace(METRICS_LIMITS, **asdict(metrics_places))
        metrics = HttpServer(applications.metrics, metrics_limits, loop, is_probe=lambda _target: True)
        with saying_flag("metrics-port"):
            listening["metrics_port"] = await metrics.listen(settings.host, settings.metrics_port)
    if settings.grpc_port is not None:
        grpc_limits = Http2Limits(max_message_bytes=largest, max_buffered_bytes=buffered, **slowness)
        grpc = GrpcServer(
            applications.grpc, grpc_limits, loop, applications.admit, GRPC_PROBES, OPEN_GRPC_PATHS
        )
        grpc.buffers = rest.buffers  # one limit for all clients of the process
        with saying_flag("grpc-port"):
            listening["grpc_port"] = await grpc.listen(
                settings.host, settings.grpc_port, tls.grpc, shared=shared
            )
    log.info("worker listening" if shared else "listening", extra=listening)
    return Ports(rest, metrics, grpc, applications.grpc_streams, buffered)


def _share_out_files(settings: ServeSettings) -> tuple[Places, Places]:
    """Places of the ports for models, each, and of the metrics port; said in the log where they are few."""
    wanted, metrics = Places(settings.connections.max_connections), Places(METRICS_LIMITS.max_connections)
    ports = 1 if settings.grpc_port is None else 2
    files = allow_files(ports * wanted.files + metrics.files)
    metrics_files = min(metrics.files, files // _METRICS_SHARE)
    places = places_within((files - metrics_files) // ports, wanted)
    if places.max_connections < wanted.max_connections:
        log.warning(
            "the limit of open files allows fewer connections; raise it (ulimit -n)",
            extra={
                "max_connections": wanted.max_connections,
                "connections_per_port": places.max_connections,
            },
        )
    return places, places_within(metrics_files, metrics)
