"""Everything that the gRPC port answers."""

import asyncio

from modelservice_runtime.models.health import Health
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.protocols.grpc import health_service, reflection
from modelservice_runtime.protocols.oip.grpc import services as oip
from modelservice_runtime.protocols.tfs.grpc import services as tfs
from modelservice_runtime.transport.grpc.open_streams import OpenStreams
from modelservice_runtime.transport.grpc.stream import Service


def build_grpc_services(
    table: ModelTable, health: Health, streams: OpenStreams, loop: asyncio.AbstractEventLoop
) -> dict[str, Service]:
    """Every service over one model table, by the path of its method.

    `streams` will hold the calls that only the server can end.
    """
    serving = (oip.SERVICE, tfs.PREDICTION_SERVICE, tfs.MODEL_SERVICE)
    all_names = (*serving, health_service.SERVICE, *reflection.SERVICES)
    services = oip.oip_services(table, health, streams)
    services |= tfs.tfs_services(table)
    services |= health_service.health_services(health, serving, streams, loop)
    services |= reflection.reflection_services(all_names, streams)
    return services
