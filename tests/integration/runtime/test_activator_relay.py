"""The activator's relays in front of the real server, with the clients that people use."""

import asyncio
import contextlib
import http.client
import json
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc
import numpy as np
import pytest
import tritonclient.http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.support.activator import Rig, eventually, running_rig
from tests.support.serving import adder_request
from tests.support.tiny_models import make_adder
from tests.unit.runtime.certificates import Authority
from tests.unit.runtime.server_process import ServerProcess, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelservice_activator.settings import HoldLimits


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("model") / "adder.onnx"
    path.write_bytes(make_adder(1.0))
    return path


@pytest.fixture(scope="module")
def pod(model: Path) -> Iterator[ServerProcess]:
    with server_process("--model", f"adder={model}") as server:
        server.wait_for("ready")
        yield server


@pytest.fixture
async def rig(pod: ServerProcess) -> AsyncIterator[Rig]:
    """The pod is ready when the service is woken."""
    async with running_rig() as running:
        running.api.on_wake = lambda: give(running, pod)
        yield running


def give(rig: Rig, pod: ServerProcess) -> None:
    rig.give_pods(["127.0.0.1"], http=pod.http_port, grpc=pod.grpc_port)


def infer_request(*values: float) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="adder")
    request.inputs.add(name="values", datatype="FP32", shape=[len(values)])
    request.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
    return request


def numbers(answer: service_pb2.ModelInferResponse) -> list[float]:
    (raw,) = answer.raw_output_contents
    return [float(one) for one in np.frombuffer(raw, np.float32)]


@contextlib.asynccontextmanager
async def grpc_stub(rig: Rig) -> AsyncIterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    async with grpc.aio.insecure_channel(
        rig.grpc, options=[("grpc.max_receive_message_length", 1 << 27)]
    ) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


async def test_two_hundred_of_both_protocols_are_answered_once_after_one_write(rig: Rig) -> None:
    async with grpc_stub(rig) as stub, aiohttp.ClientSession() as session:

        async def rest(value: int) -> float:
            url = f"{rig.http}/v2/models/adder/infer"
            async with session.post(url, json=adder_request(value)) as answer:
                return float((await answer.json())["outputs"][0]["data"][0])

        async def call(value: int) -> float:
            return numbers(await stub.ModelInfer(infer_request(value), timeout=120))[0]

        asked = [one(value) for value in range(100) for one in (rest, call)]
        assert await asyncio.gather(*asked) == [value + 1 for value in range(100) for _ in range(2)]
    assert len(rig.api.writes) == 1


async def test_stream_of_calls_keeps_its_order(rig: Rig) -> None:
    async def requests() -> AsyncIterator[service_pb2.ModelInferRequest]:
        for value in range(20):
            yield infer_request(value)

    async with grpc_stub(rig) as stub:
        answers = [numbers(one.infer_response)[0] async for one in stub.ModelStreamInfer(requests())]
    assert answers == [value + 1 for value in range(20)]


async def test_large_tensors_pass_in_both_protocols(rig: Rig) -> None:
    values = np.arange(1_000_000, dtype=np.float32)
    async with grpc_stub(rig) as stub:
        assert numbers(await stub.ModelInfer(infer_request(*values)))[-1] == 1_000_000

    def by_triton() -> float:
        with tritonclient.http.InferenceServerClient(rig.http.removeprefix("http://")) as client:
            tensor = tritonclient.http.InferInput("values", [len(values)], "FP32")
            tensor.set_data_from_numpy(values)
            answer = client.infer("adder", [tensor], request_compression_algorithm="gzip")
            return float(answer.as_numpy(answer.get_response()["outputs"][0]["name"])[-1])

    assert await asyncio.to_thread(by_triton) == 1_000_000


async def test_errors_of_the_pod_are_its_own(rig: Rig) -> None:
    async with grpc_stub(rig) as stub, aiohttp.ClientSession() as session:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(service_pb2.ModelInferRequest(model_name="nobody"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        async with session.post(f"{rig.http}/v2/models/adder/infer", data=b"{") as answer:
            assert answer.status == 400
        async with session.head(f"{rig.http}/v2/health/ready") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_expectation_of_curl_is_met_and_too_much_is_refused_by_the_pod(rig: Rig) -> None:
    def post(size: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", rig.ports["http"], timeout=120)
        connection.putrequest("POST", "/v2/models/adder/infer")
        connection.putheader("Content-Length", str(size))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        if size < 1000:
            connection.send(json.dumps(adder_request(1)).encode().ljust(size))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    assert await asyncio.to_thread(post, 500) == 200
    assert await asyncio.to_thread(post, 1 << 30) == 413


async def test_deadline_of_a_client_ends_its_wait_and_is_no_error_of_others(pod: ServerProcess) -> None:
    async with running_rig() as rig, grpc_stub(rig) as stub:
        patient = asyncio.ensure_future(stub.ModelInfer(infer_request(1), timeout=120))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(infer_request(1), timeout=0.3)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: rig.holder.room.requests == 1, "it is forgotten, and the other one is not")
        give(rig, pod)
        assert numbers(await patient) == [2]


async def test_retry_policy_of_grpc_comes_back_after_a_refusal(pod: ServerProcess) -> None:
    policy = {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
    async with running_rig(HoldLimits(requests=1)) as rig:
        channel = grpc.aio.insecure_channel(rig.grpc, options=[("grpc.service_config", json.dumps(policy))])
        async with channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            first = asyncio.ensure_future(stub.ModelInfer(infer_request(1), timeout=120))
            await eventually(lambda: rig.holder.room.requests == 1, "the first one waits")
            second = asyncio.ensure_future(stub.ModelInfer(infer_request(2), timeout=120))
            await asyncio.sleep(0.2)
            give(rig, pod)
            assert numbers(await first) + numbers(await second) == [2, 3]


async def test_watch_of_health_ends_with_its_pod_and_nothing_hangs(model: Path) -> None:
    async with running_rig() as rig:
        with server_process("--model", f"adder={model}", "--drain-delay-seconds", "0") as leaving:
            leaving.wait_for("ready")
            give(rig, leaving)
            async with grpc.aio.insecure_channel(rig.grpc) as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                leaving.process.kill()
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await watch.read()
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def pod_is_busy(pod: ServerProcess) -> None:
    """Wait until the pod runs a request."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{pod.metrics_port}/load") as answer:
                if (await answer.json())["running"]:
                    return


async def test_pod_that_drains_finishes_what_went_through(model_files: dict[str, Path]) -> None:
    request = service_pb2.ModelInferRequest(model_name="loop")
    request.inputs.add(name="x", datatype="INT64", shape=[1])
    request.raw_input_contents.append(struct.pack("<q", 20_000))
    async with running_rig() as rig, grpc_stub(rig) as stub:
        with server_process(
            "--model", f"loop={model_files['loop']}", "--drain-delay-seconds", "0"
        ) as leaving:
            leaving.wait_for("ready")
            give(rig, leaving)
            call = asyncio.ensure_future(stub.ModelInfer(request, timeout=120))
            await pod_is_busy(leaving)
            leaving.process.terminate()
            assert (await call).model_name == "loop"
            assert leaving.process.wait(120) == 0


async def test_server_with_a_certificate_is_reached_by_tls_through_and_through(
    model: Path, tmp_path: Path
) -> None:
    authority = Authority()
    certificate, key = authority.issue("pod").write(tmp_path, "pod")
    flags = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with server_process("--model", f"adder={model}", *flags) as secure:
        secure.wait_for("ready")
        async with running_rig() as rig:
            rig.api.on_wake = lambda: give(rig, secure)
            context = ssl.create_default_context(cadata=authority.certificate.decode())
            url = f"https://127.0.0.1:{rig.ports['http']}/v2/models/adder/infer"
            async with (
                aiohttp.ClientSession() as session,
                session.post(url, json=adder_request(1), ssl=context) as answer,
            ):
                assert (await answer.json())["outputs"][0]["data"] == [2]
            credentials = grpc.ssl_channel_credentials(authority.certificate)
            async with grpc.aio.secure_channel(rig.grpc, credentials) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                assert numbers(await stub.ModelInfer(infer_request(1), timeout=120)) == [2]
