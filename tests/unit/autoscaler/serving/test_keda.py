"""The external scaler, asked by a gRPC client as KEDA asks it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from tests.support.ports import free_port
from tests.unit.autoscaler.objects import make_answer, make_endpoint, make_service, make_slice

from modelservice_autoscaler.looking.answer import parse_answer
from modelservice_autoscaler.looking.connection import PodConnection
from modelservice_autoscaler.looking.sight import Sight
from modelservice_autoscaler.protos import externalscaler_pb2 as pb
from modelservice_autoscaler.serving import keda as keda_module
from modelservice_autoscaler.serving import observer as observer_module
from modelservice_autoscaler.serving.keda import ExternalScaler, serve
from modelservice_autoscaler.serving.observer import Observers
from modelservice_autoscaler.watching.endpoints import Endpoints
from modelservice_autoscaler.watching.services import Services

QUEUE = {"type": "QueueTime", "target": {"value": "50m"}}
CONCURRENCY = {"type": "Concurrency", "target": {"averageValue": "8"}}


class Pods:
    """Two pods, whose requests in flight the test sets."""

    def __init__(self) -> None:
        self.in_flight = 4.0
        self.idle_seconds = 0.0
        self.silent = False
        self.asked = 0
        self._began = time.monotonic()

    def connect(self, _address: str) -> PodConnection:
        return PodConnection("127.0.0.1", 1)

    async def ask(self, _connection: PodConnection) -> Any:
        self.asked += 1
        if self.silent:
            return None
        seconds = time.monotonic() - self._began
        return parse_answer(
            make_answer(
                uptimeSeconds=100 + seconds,
                running=round(self.in_flight),
                inFlightSeconds=100 + self.in_flight * seconds,
                requests=int(100 + 10 * seconds),
                idleSeconds=self.idle_seconds,
            )
        )


class Keda:
    """A client of the scaler."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def ref(self, signal: str = "Concurrency", name: str = "spam") -> pb.ScaledObjectRef:
        metadata = {"scalerAddress": "scaler:9090", "signal": signal}
        return pb.ScaledObjectRef(name=name, namespace="mail", scalerMetadata=metadata)

    async def ask(self, method: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/externalscaler.ExternalScaler/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return await call(request, timeout=120)

    async def is_active(self, **ref: str) -> bool:
        return bool((await self.ask("IsActive", self.ref(**ref), pb.IsActiveResponse)).result)

    async def spec(self, **ref: str) -> pb.MetricSpec:
        (spec,) = (await self.ask("GetMetricSpec", self.ref(**ref), pb.GetMetricSpecResponse)).metricSpecs
        return spec

    async def value(self, **ref: str) -> float:
        name = (await self.spec(**ref)).metricName
        request = pb.GetMetricsRequest(scaledObjectRef=self.ref(**ref), metricName=name)
        (value,) = (await self.ask("GetMetrics", request, pb.GetMetricsResponse)).metricValues
        assert value.metricName == name
        return float(value.metricValueFloat)

    async def wait_value(self, expected: float, **ref: str) -> None:
        """Ask until the value is about this: it takes some looks, and a busy machine pauses between them."""
        for _ in range(10_000):
            if await self.value(**ref) == pytest.approx(expected, rel=0.1):
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"the value does not come to {expected}")

    def stream(self) -> Any:
        call = self._channel.unary_stream(
            "/externalscaler.ExternalScaler/StreamIsActive",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.IsActiveResponse.FromString,
        )
        return call(self.ref(), timeout=120)


@pytest.fixture
def pods(monkeypatch) -> Pods:
    monkeypatch.setattr(observer_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(observer_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(keda_module, "PUSH_SECONDS", 0.01)
    return Pods()


@pytest.fixture
def services() -> Services:
    known = Services()
    known.on_object(None, make_service(engine="Keda", metrics=[CONCURRENCY, QUEUE]))
    return known


@pytest.fixture
async def observers(pods, services):
    endpoints = Endpoints()
    endpoints.on_object(None, make_slice(make_endpoint("a", "10.0.0.1"), make_endpoint("b", "10.0.0.2")))
    made = Observers(Sight(services=services, endpoints=endpoints, pods=pods, clock=time.monotonic))
    yield made
    await made.close()


@pytest.fixture
async def keda(observers):
    port = free_port()
    serving = asyncio.create_task(serve(ExternalScaler(observers), "127.0.0.1", port))
    soon = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=soon) as channel:
        await channel.channel_ready()
        yield Keda(channel)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_target_and_value_are_those_of_the_signal(keda):
    spec = await keda.spec(signal="Concurrency")
    assert (spec.metricName, spec.targetSizeFloat) == ("concurrency", 8.0)
    assert (await keda.spec(signal="QueueTime")).targetSizeFloat == 0.05
    await keda.wait_value(8.0, signal="Concurrency")


async def test_activity_scales_nothing(keda, pods):
    assert (await keda.spec(signal="Activity")).targetSizeFloat == 1.0
    assert await keda.value(signal="Activity") == 1.0
    pods.idle_seconds = 60.0
    await keda.wait_value(0.0, signal="Activity")


async def test_sleeping_service_is_not_looked_at_and_has_no_load(keda, services, pods):
    services.on_object("MODIFIED", make_service(version=2, generation=2, replicas=0, engine="Keda"))
    assert await keda.value() == 0.0
    assert await keda.is_active() is False
    assert pods.asked == 0


async def test_service_that_nobody_could_wake_is_always_active(keda, services):
    sleeping = make_service(version=2, generation=2, replicas=0, engine="Keda")
    sleeping["status"]["autoscaling"]["cannotSleep"] = "there is no activator"
    services.on_object("MODIFIED", sleeping)
    assert await keda.is_active() is True


async def test_stream_tells_the_state_at_once_and_then_each_change(keda, services, pods):
    pods.idle_seconds = 60.0
    stream = keda.stream()
    answers = stream.__aiter__()
    assert (await anext(answers)).result is False
    pods.idle_seconds = 0.0
    assert (await anext(answers)).result is True
    services.on_object("MODIFIED", make_service(version=2, generation=2, replicas=0, engine="Keda"))
    assert (await anext(answers)).result is False
    # Somebody wakes it: no pod needs to be there.
    pods.silent = True
    services.on_object("MODIFIED", make_service(version=3, generation=3, replicas=1, engine="Keda"))
    assert (await anext(answers)).result is True
    services.on_object("DELETED", make_service(version=4))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(answers)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_silent_pods_are_an_error_and_no_idleness(keda, pods, monkeypatch):
    monkeypatch.setattr(observer_module, "PATIENCE_SECONDS", 0.2)
    pods.silent = True
    assert await keda.is_active() is True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await keda.value()
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("ref", "code", "words"),
    [
        ({"name": "ham"}, grpc.StatusCode.NOT_FOUND, "no ModelService mail/ham"),
        (
            {"signal": "Load"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "expected one of Concurrency, QueueTime, Activity",
        ),
        ({"signal": ""}, grpc.StatusCode.INVALID_ARGUMENT, "metadata signal"),
    ],
)
async def test_wrong_question_is_refused_with_a_sentence(keda, ref, code, words):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await keda.value(**ref)
    assert refused.value.code() == code
    assert words in refused.value.details()


async def test_looks_end_when_nobody_asks_any_more(keda, observers, pods, monkeypatch):
    await keda.value()
    (task,) = observers._tasks
    monkeypatch.setattr(observer_module, "KEEP_SECONDS", 0.0)
    await asyncio.wait_for(task, 120)
    asked = pods.asked
    await asyncio.sleep(0.2)
    assert pods.asked == asked
    monkeypatch.setattr(observer_module, "KEEP_SECONDS", 60.0)
    await keda.wait_value(8.0)


def test_messages_are_those_of_keda():
    """Names and numbers of KEDA's interface, as bytes that its own client would send."""
    ref = pb.ScaledObjectRef(name="a", namespace="b", scalerMetadata={"k": "v"})
    assert ref.SerializeToString() == b"\n\x01a\x12\x01b\x1a\x06\n\x01k\x12\x01v"
    spec = pb.MetricSpec(metricName="m", targetSize=1, targetSizeFloat=0.5)
    assert spec.SerializeToString() == b"\n\x01m\x10\x01\x19" + b"\0" * 6 + b"\xe0?"
    value = pb.MetricValue(metricName="m", metricValue=1, metricValueFloat=0.5)
    assert value.SerializeToString() == spec.SerializeToString()
    assert pb.IsActiveResponse(result=True).SerializeToString() == b"\x08\x01"
