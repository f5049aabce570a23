"""`GET /load`: every inference request counts once, by any protocol and with any end; nothing else does."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.unit.runtime.busy_threads import Busy
from tests.unit.runtime.fake_nvml import make_nvml
from tests.unit.runtime.server_thread import ServerThread
from tests.unit.runtime.test_every_request_is_answered import REST, classify, infer_message, predict

from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS
from modelservice_runtime.machine.gpu_devices import GpuDevice, Gpus
from modelservice_runtime.models.load import Load, sum_loads
from modelservice_runtime.protos import inference_pb2
from modelservice_runtime.serving.life import Life
from modelservice_runtime.serving.load import build_load
from modelservice_runtime.settings.lanes import LaneSettings

SECOND = 10**9
LARGE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [8192, 4], "data": [0.125] * 32768}]}
WRONG = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 5], "data": [1, 2, 3, 4, 5]}]}


@pytest.fixture(scope="module")
def queued(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A server whose models run in batches, on threads."""
    with ServerThread(model_files, lane=LaneSettings(max_batch_size=8, inline_below_seconds=0)) as running:
        yield running


@pytest.fixture(params=["inline", "queued"])
def any_server(request: pytest.FixtureRequest, server: ServerThread, queued: ServerThread) -> ServerThread:
    return server if request.param == "inline" else queued


@contextmanager
def counts(server: ServerThread, expected: int) -> Iterator[None]:
    """Holds that so many requests ended meanwhile, and that none is in flight any more."""
    before = server.load_page()
    yield
    after = server.load_page()
    assert after["requests"] - before["requests"] == expected
    assert (after["running"], after["waiting"]) == (0, 0)
    assert (after["inFlightSeconds"] > before["inFlightSeconds"]) == (expected > 0)


@pytest.mark.parametrize("form", REST)
def test_rest_request_counts_once(any_server: ServerThread, form: str) -> None:
    path, body = REST[form]
    with counts(any_server, 3):
        for _ in range(3):
            assert any_server.request("POST", path, body).status == 200


def test_large_request_counts_once(any_server: ServerThread) -> None:
    with counts(any_server, 2):
        assert any_server.request("POST", "/v2/models/mlp/infer", LARGE).status == 200
        rows = {"instances": [[0.125] * 4] * 8192}
        assert any_server.request("POST", "/v1/models/mlp:predict", rows).status == 200


def test_request_that_fails_counts_once(any_server: ServerThread) -> None:
    with counts(any_server, 3):
        assert any_server.request("POST", "/v2/models/mlp/infer", WRONG).status == 400
        assert any_server.request("POST", "/v2/models/mlp/infer", b"{").status == 400
        assert any_server.request("POST", "/v1/models/mlp:predict", {"instances": 1}).status == 400


@pytest.mark.parametrize(
    ("path", "message"),
    [predict("mlp"), classify("mlp"), *[infer_message(typed=typed) for typed in (False, True)]],
    ids=["Predict", "Classify", "raw", "typed"],
)
def test_call_counts_once(any_server: ServerThread, path: str, message: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{any_server.grpc_port}") as channel, counts(any_server, 1):
        channel.unary_unary(path)(message, timeout=120)


def test_every_request_of_a_stream_counts_once(any_server: ServerThread) -> None:
    _, message = infer_message(typed=False)
    with grpc.insecure_channel(f"127.0.0.1:{any_server.grpc_port}") as channel, counts(any_server, 5):
        ask = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        assert len(list(ask(iter([message] * 5), timeout=120))) == 5


def test_probes_metadata_metrics_and_unknown_models_count_nowhere(server: ServerThread) -> None:
    reads = ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/mlp",
             "/v2/models/mlp/ready", "/v2/models/mlp/stats", "/v1/models/mlp", "/openapi.json"]  # fmt: skip
    with counts(server, 0):
        for path in reads:
            assert server.request("GET", path).status == 200
        assert server.request("POST", "/v2/models/nobody/infer", WRONG).status == 404
        for path in ("/metrics", "/load"):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}{path}", timeout=120):
                pass
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            for method in ("ServerReady", "ModelReady", "ModelMetadata"):
                request = getattr(inference_pb2, f"{method}Request")()
                if method != "ServerReady":
                    request.name = "mlp"
                channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(
                    request.SerializeToString(), timeout=120
                )


def wait_until_in_flight(server: ServerThread, count: int) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (page := server.load_page())["running"] + page["waiting"] != count:
        assert time.monotonic() < deadline, page
        time.sleep(0.01)
    return page


def test_mean_concurrency_of_slow_requests_comes_out_right(server: ServerThread, busy: Busy) -> None:
    """Large bodies wait for a thread, and the threads are held."""
    ask = partial(server.request, "POST", "/v2/models/mlp/infer", LARGE)
    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    first = wait_until_in_flight(server, 3)
    assert first["idleSeconds"] == 0
    time.sleep(0.2)
    second = server.load_page()
    seconds = second["uptimeSeconds"] - first["uptimeSeconds"]
    mean = (second["inFlightSeconds"] - first["inFlightSeconds"]) / seconds
    assert mean == pytest.approx(3, rel=0.1)
    busy.gate.set()
    for caller in callers:
        caller.join(120)
    after = wait_until_in_flight(server, 0)
    assert after["requests"] - first["requests"] == 3


def test_request_whose_client_left_counts_once(server: ServerThread, busy: Busy) -> None:
    before = server.load_page()
    body = json.dumps(LARGE).encode()
    with server.connect() as client:
        client.sendall(
            b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
        wait_until_in_flight(server, 1)
    busy.gate.set()
    assert wait_until_in_flight(server, 0)["requests"] - before["requests"] == 1


def test_only_reading_is_allowed(server: ServerThread) -> None:
    url = f"http://127.0.0.1:{server.metrics_port}/load"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=120)
    assert refused.value.code == 405
    refused.value.close()


def page(load: Load, now_ns: int, life: Life | None = None, gpus: list[GpuDevice] | None = None) -> Any:
    return build_load(load, life or Life(SECOND, 4 * SECOND), now_ns, 77, gpus or [])


def test_load_of_texts_is_told_only_where_a_model_generates_some() -> None:
    assert "generation" not in page(Load(), 5 * SECOND)
    two = sum_loads(
        [
            Load(text_tokens=70, kv_used_tokens=50.0, kv_tokens=100, max_sequences=4),
            Load(text_tokens=5, kv_used_tokens=0.0, kv_tokens=300, max_sequences=2),
        ]
    )
    assert page(two, 5 * SECOND)["generation"] == {
        "tokensInFlight": 75,
        "kvCacheUsage": 0.125,
        "maxSequences": 6,
    }


def test_load_says_what_the_contract_names() -> None:
    gpus = Gpus(lambda _: make_nvml(2)).read()
    counted = Load(2, 3, 5 * SECOND, 7, 8 * SECOND, [1] * (len(QUEUE_BUCKETS_SECONDS) + 1), 1.5)
    assert page(counted, 11 * SECOND, gpus=gpus) == {
        "uptimeSeconds": 10.0,
        "running": 2,
        "waiting": 3,
        "inFlightSeconds": 5.0,
        "requests": 7,
        "idleSeconds": 0.0,
        "queueSeconds": {
            "bounds": QUEUE_BUCKETS_SECONDS,
            "counts": [1] * (len(QUEUE_BUCKETS_SECONDS) + 1),
        },
        "cpuSeconds": 1.5,
        "memoryBytes": 77,
        "gpus": [
            {"utilization": 0.25, "memoryUsedBytes": 100, "memoryTotalBytes": 1000},
            {"utilization": None, "memoryUsedBytes": 101, "memoryTotalBytes": 1000},
        ],
    }


def test_idle_counts_from_the_last_end_and_before_that_from_being_ready() -> None:
    assert page(Load(last_end_ns=8 * SECOND), 11 * SECOND)["idleSeconds"] == 3
    assert page(Load(), 11 * SECOND)["idleSeconds"] == 7
    assert page(Load(), 11 * SECOND, Life(SECOND))["idleSeconds"] == 0
    assert page(Load(waiting=1, last_end_ns=SECOND), 11 * SECOND)["idleSeconds"] == 0


def test_gpus_are_looked_for_once() -> None:
    asked: list[str] = []

    def load(name: str) -> Any:
        asked.append(name)
        return make_nvml(0)

    gpus = Gpus(load)
    assert (gpus.read(), gpus.read(), gpus.are_missing, asked) == ([], [], True, ["pynvml"])
