"""KEDA's external push scaler, over gRPC (keda.sh, "External Scalers").

A trigger names one signal of the ModelService that has the ScaledObject's name. Whoever reaches the port may
ask how busy services are; nothing can be changed through it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc

from modelservice_autoscaler.protos import externalscaler_pb2 as pb
from modelservice_autoscaler.serving.values import ACTIVITY, find_signal
from modelservice_autoscaler.watching.services import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modelservice_autoscaler.algorithm.spec import Signal
    from modelservice_autoscaler.serving.observer import Observers
    from modelservice_autoscaler.watching.services import Service

log = logging.getLogger(__name__)

SERVICE = "externalscaler.ExternalScaler"
SIGNAL = "signal"
"""Where the metadata of a trigger names the signal."""
PUSH_SECONDS = 0.25
"""How soon a stream tells that a service has become active."""
GRACE_SECONDS = 1.0
_OPTIONS = (("grpc.max_receive_message_length", 65_536), ("grpc.so_reuseport", 0))


class ExternalScaler:
    """Answers KEDA's questions."""

    def __init__(self, observers: Observers) -> None:
        self._observers = observers

    async def is_active(self, ref: pb.ScaledObjectRef, context: Any) -> pb.IsActiveResponse:
        """Whether the service has requests."""
        service = await self._service(ref, context)
        return pb.IsActiveResponse(result=await self._observers.is_active(service))

    async def stream_is_active(
        self, ref: pb.ScaledObjectRef, context: Any
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """The same at once, and whenever it changes."""
        told: bool | None = None
        while True:
            service = await self._service(ref, context)
            active = await self._observers.is_active(service)
            if active != told:
                told = active
                yield pb.IsActiveResponse(result=active)
            await asyncio.sleep(PUSH_SECONDS)

    async def get_metric_spec(self, ref: pb.ScaledObjectRef, context: Any) -> pb.GetMetricSpecResponse:
        """The target of the trigger's signal."""
        signal = await self._signal(ref, await self._service(ref, context), context)
        target = 1.0 if signal is None else signal.target
        return pb.GetMetricSpecResponse(
            metricSpecs=[pb.MetricSpec(metricName=_metric(ref), targetSizeFloat=target)]
        )

    async def get_metrics(self, request: pb.GetMetricsRequest, context: Any) -> pb.GetMetricsResponse:
        """The value of the trigger's signal."""
        ref = request.scaledObjectRef
        service = await self._service(ref, context)
        signal = await self._signal(ref, service, context)
        if signal is None:
            value: float | None = float(await self._observers.is_active(service))
        else:
            value = await self._observers.value(service, signal)
        if value is None:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, f"no pod of {ref.name} tells its {_metric(ref)} now"
            )
        return pb.GetMetricsResponse(
            metricValues=[pb.MetricValue(metricName=request.metricName, metricValueFloat=value)]
        )

    async def _service(self, ref: pb.ScaledObjectRef, context: Any) -> Service:
        service = self._observers.find(Key(ref.namespace, ref.name))
        if service is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"there is no ModelService {ref.namespace}/{ref.name} with spec.autoscaling: a ScaledObject "
                "with this scaler has the name and namespace of its ModelService",
            )
        assert service is not None
        return service

    async def _signal(self, ref: pb.ScaledObjectRef, service: Service, context: Any) -> Signal | None:
        """The signal that the trigger names; None for Activity."""
        name = ref.scalerMetadata.get(SIGNAL, "")
        if name == ACTIVITY:
            return None
        signal = find_signal(service, name)
        if signal is None:
            known = ", ".join((*(one.type for one in service.spec.signals), ACTIVITY))
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"metadata {SIGNAL} of the trigger: expected one of {known}, got {name!r}",
            )
        return signal


def _metric(ref: pb.ScaledObjectRef) -> str:
    return ref.scalerMetadata[SIGNAL].lower()


async def serve(scaler: ExternalScaler, host: str, port: int) -> None:
    """Answer at this address until cancelled."""
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_handlers(scaler),))
    server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    await server.start()
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(GRACE_SECONDS)


def _handlers(scaler: ExternalScaler) -> grpc.GenericRpcHandler:
    def unary(method: Any, request: Any, response: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(method, request.FromString, response.SerializeToString)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "IsActive": unary(scaler.is_active, pb.ScaledObjectRef, pb.IsActiveResponse),
            "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                scaler.stream_is_active, pb.ScaledObjectRef.FromString, pb.IsActiveResponse.SerializeToString
            ),
            "GetMetricSpec": unary(scaler.get_metric_spec, pb.ScaledObjectRef, pb.GetMetricSpecResponse),
            "GetMetrics": unary(scaler.get_metrics, pb.GetMetricsRequest, pb.GetMetricsResponse),
        },
    )
