"""Whatever is raised on the way, every request has exactly one end, and nobody else waits for it."""

import asyncio
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, Results, entered, make_lane, make_request
from tests.unit.runtime.protocols.oip.oip_messages import make_request as make_message
from tests.unit.runtime.server_thread import ServerThread, read_until_closed

from modelservice_runtime.errors import InferenceFailedError, ServingError
from modelservice_runtime.execution.job import InferResult
from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.machine.file_watch import FilePoller, WatchedFiles
from modelservice_runtime.model import WarmUp
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.onnx.model import OnnxModel
from modelservice_runtime.protocols.inference import InferCall
from modelservice_runtime.protos import inference_pb2, tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import HttpResponse
from modelservice_runtime.transport.http1.connection import Connection
from modelservice_runtime.transport.http2.connection import Connection as Http2Connection

INTERNAL = "internal error"


class OwnError(Exception):
    """An error of ours, which no code expects."""


class Poison:
    """An output that cannot be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise OwnError(name)


def refuse(*_: object) -> Any:
    raise OwnError


def make_call(lane: Any, statistics: ModelStatistics, encode: Any, reply: Callable[[Any], None]) -> InferCall:
    handle = ModelHandle(GatedModel().spec, lane, statistics)
    return InferCall(handle, 0, encode, reply)


def refuse_two(outputs: list[Array]) -> HttpResponse:
    if outputs[0].tolist() == [4]:
        raise OwnError
    return HttpResponse(200, outputs[0].tobytes())


def refuse_two_later(outputs: list[Array]) -> LateAnswer[HttpResponse]:
    return LateAnswer(partial(refuse_two, outputs))


@pytest.mark.parametrize("warm_up", [FAST, SLOW], ids=["on the event loop", "on a thread"])
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("encode", [refuse_two, refuse_two_later])
async def test_answer_that_cannot_be_encoded_fails_alone(warm_up: WarmUp, rows: int, encode: Any) -> None:
    model, statistics, results = GatedModel(), ModelStatistics(), Results()
    model.gate.set()
    lane = make_lane(model, warm_up, max_batch_size=rows, runner_threads=1)
    for number in (1, 2, 3):
        make_call(lane, statistics, encode, results.append).enqueue(make_request(number))
    await results.wait(3)
    answers: list[Any] = results.items
    failed = [str(answer) for answer in answers if isinstance(answer, InferenceFailedError)]
    assert len(failed) == 1
    assert INTERNAL in failed[0]
    bodies = {answer.body for answer in answers if isinstance(answer, HttpResponse)}
    assert bodies == {np.float32(value).tobytes() for value in (2, 6)}
    assert (statistics.success_count, statistics.failures["BACKEND"], lane.pending) == (2, 1, 0)
    assert closes(lane)


@pytest.mark.parametrize("warm_up", [FAST, SLOW], ids=["on the event loop", "on a thread"])
@pytest.mark.parametrize("rows", [1, 8])
async def test_answer_that_nobody_takes_holds_up_nobody(warm_up: WarmUp, rows: int) -> None:
    model, results = GatedModel(), Results()
    model.gate.set()
    lane = make_lane(model, warm_up, max_batch_size=rows, runner_threads=1)
    lane.submit(make_request(1), refuse)
    lane.submit(make_request(2), results.append)
    lane.submit(make_request(3), refuse)
    await results.wait(1)
    lane.submit(make_request(4), results.append)
    await results.wait(2)
    assert [outcome.outputs[0].tolist() for outcome in results.items if isinstance(outcome, InferResult)] == [
        [4],
        [8],
    ]
    assert lane.pending == 0
    assert closes(lane)


@pytest.mark.parametrize("warm_up", [FAST, SLOW], ids=["on the event loop", "on a thread"])
@pytest.mark.parametrize("step", ["_record", "pace.observe"])
async def test_fault_behind_a_run_leaves_nobody_without_an_answer(
    warm_up: WarmUp, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, results = GatedModel(), Results()
    model.gate.set()
    lane = make_lane(model, warm_up, max_batch_size=8, runner_threads=1)
    with monkeypatch.context() as patched:
        holder, _, name = step.rpartition(".")
        patched.setattr(lane._runs.pace if holder else lane._runs, name, refuse)
        for number in (1, 2, 3):
            lane.submit(make_request(number), results.append)
        await results.wait(3)
    lane.submit(make_request(4), results.append)
    await results.wait(4)
    assert [INTERNAL in str(outcome) for outcome in results.items] == [True, True, True, False]
    assert lane.pending == 0
    assert closes(lane)


async def test_deadline_that_nobody_hears_of_leaves_nothing_behind() -> None:
    model, results = GatedModel(), Results()
    lane = make_lane(model, SLOW)
    lane.submit(make_request(1, timeout_seconds=0.01), refuse)
    lane.submit(make_request(2, timeout_seconds=0.02), results.append)
    await results.wait(1)
    assert isinstance(results.items[0], ServingError)
    model.gate.set()
    assert lane.pending == 0


@pytest.mark.parametrize("fault", [RuntimeError("can't start new thread"), OwnError()])
async def test_run_that_cannot_start_fails_its_requests_alone(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    model, results = GatedModel(), Results()
    model.gate.set()
    lane = make_lane(model, SLOW, runner_threads=2, max_batch_size=4)

    def start(_thread: threading.Thread) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        lane.submit(make_request(1), results.append)
        lane.submit(make_request(2), refuse)
        lane.submit(make_request(3), results.append)
        await results.wait(2)
    assert [INTERNAL in str(outcome) for outcome in results.items] == [True, True]
    assert lane.pending == 0
    lane.submit(make_request(4), results.append)
    await results.wait(3)
    assert isinstance(results.items[2], InferResult)
    assert closes(lane)


async def test_threads_that_are_missing_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    model, results = GatedModel(), Results()
    lane = make_lane(model, SLOW, runner_threads=3)
    start, started = threading.Thread.start, []

    def start_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_one)
        for number in (1, 2, 3):
            lane.submit(make_request(number), results.append)
        await asyncio.sleep(0)
    await entered(model)
    model.gate.set()
    await results.wait(3)
    assert closes(lane)


def closes(lane: Any) -> bool:
    """Whether the lane ends at once, as a server that was told to leave wants it."""
    closed: list[bool] = []
    lane.close_when_idle(lambda: closed.append(True))
    return closed == [True]


@pytest.fixture(scope="module")
def queued(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """A server whose models run in batches, on threads."""
    with ServerThread(model_files, lane=LaneSettings(max_batch_size=8, inline_below_seconds=0)) as running:
        yield running


@pytest.fixture(params=["inline", "queued"])
def any_server(request: pytest.FixtureRequest, server: ServerThread, queued: ServerThread) -> ServerThread:
    return server if request.param == "inline" else queued


MLP = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
REST = {
    "V2": ("/v2/models/mlp/infer", {"inputs": [MLP]}),
    "V2 binary": ("/v2/models/mlp/infer", {"inputs": [MLP], "parameters": {"binary_data_output": True}}),
    "V2 with an id": ("/v2/models/mlp/infer", {"inputs": [MLP], "id": "7"}),
    "rows": ("/v1/models/mlp:predict", {"instances": [[1, 2, 3, 4]]}),
    "columns": ("/v1/models/mlp:predict", {"inputs": [[1, 2, 3, 4]]}),
    "classify": ("/v1/models/mlp:classify", {"examples": [{"x": [1, 2, 3, 4]}]}),
    "regress": ("/v1/models/log:regress", {"examples": [{"x": 1}]}),
}


def infer_message(*, typed: bool) -> tuple[str, bytes]:
    message = make_message("expand", [1], datatype="INT64")
    message.raw_input_contents.append(np.array([3]).tobytes())
    if typed:
        message.parameters["binary_data_output"].bool_param = False
    return "/inference.GRPCInferenceService/ModelInfer", message.SerializeToString()


def failures(server: ServerThread) -> int:
    return sum(handle.statistics.failures["BACKEND"] for handle in server.table.handles())


@pytest.mark.parametrize("form", REST)
def test_rest_request_whose_answer_cannot_be_encoded_is_answered_and_counted(
    any_server: ServerThread, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path, body = REST[form]
    before = failures(any_server)
    with monkeypatch.context() as patched:
        patched.setattr(OnnxModel, "run", lambda *_: [Poison()])
        for _ in range(3):
            answer = any_server.request("POST", path, body)
            assert (answer.status, INTERNAL in answer.json()["error"]) == (500, True)
    assert failures(any_server) == before + 3
    assert any_server.request("POST", path, body).status == 200


def test_prepared_request_whose_answer_cannot_be_encoded_is_answered_and_counted(
    model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = REST["V2"]
    with ServerThread({"mlp": model_files["mlp"]}) as server:
        for _ in range(4):
            assert server.request("POST", path, body).status == 200
        with monkeypatch.context() as patched:
            patched.setattr("modelservice_runtime.protocols.oip.rest.known_answer.KnownAnswer.encode", refuse)
            answer = server.request("POST", path, body)
        assert (answer.status, failures(server)) == (500, 1)


def predict(model: str) -> tuple[str, bytes]:
    message = tensorflow_serving_pb2.PredictRequest(model_spec={"name": model})
    values = message.inputs["x"]
    values.dtype = tensorflow_pb2.DT_FLOAT
    for size in (1, 4):
        values.tensor_shape.dim.add(size=size)
    values.float_val.extend([1, 2, 3, 4])
    return "/tensorflow.serving.PredictionService/Predict", message.SerializeToString()


def classify(model: str) -> tuple[str, bytes]:
    message = tensorflow_serving_pb2.ClassificationRequest(model_spec={"name": model})
    message.input.example_list.examples.add().features.feature["x"].float_list.value.extend([1, 2, 3, 4])
    return "/tensorflow.serving.PredictionService/Classify", message.SerializeToString()


@pytest.mark.parametrize(
    ("path", "message"),
    [predict("mlp"), classify("mlp"), *[infer_message(typed=typed) for typed in (False, True)]],
    ids=["Predict", "Classify", "raw", "typed"],
)
def test_call_whose_answer_cannot_be_encoded_ends_and_is_counted(
    any_server: ServerThread, monkeypatch: pytest.MonkeyPatch, path: str, message: bytes
) -> None:
    before = failures(any_server)
    with grpc.insecure_channel(f"127.0.0.1:{any_server.grpc_port}") as channel:
        ask = channel.unary_unary(path)
        with monkeypatch.context() as patched:
            patched.setattr(OnnxModel, "run", lambda *_: [Poison()])
            with pytest.raises(grpc.RpcError, match=INTERNAL) as refused:
                ask(message, timeout=120)
        assert refused.value.code() is grpc.StatusCode.INTERNAL
        assert failures(any_server) == before + 1
        assert ask(message, timeout=120)


def test_stream_goes_on_behind_an_answer_that_cannot_be_encoded(
    any_server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, message = infer_message(typed=False)
    run, poisoned = OnnxModel.run, [False, True, False]
    monkeypatch.setattr(OnnxModel, "run", lambda *given: [Poison()] if poisoned.pop(0) else run(*given))
    with grpc.insecure_channel(f"127.0.0.1:{any_server.grpc_port}") as channel:
        ask = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=inference_pb2.ModelStreamInferResponse.FromString,
        )
        sent: list[bytes] = []

        def one_by_one() -> Iterator[bytes]:
            while len(sent) < 3:
                turn.acquire()
                sent.append(message)
                yield message

        turn = threading.Semaphore(1)
        errors = []
        for answer in ask(one_by_one(), timeout=120):
            errors.append(answer.error_message)
            turn.release()
    assert [INTERNAL in error for error in errors] == [False, True, False]


def test_fault_before_the_application_answers_is_an_answer(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(server.server, "application", refuse)
        with server.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            monkeypatch.undo()
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers = read_until_closed(client)
    assert answers.count(b"HTTP/1.1 500") + answers.count(b"HTTP/1.1 200") == 3


def test_answer_that_cannot_be_written_ends_its_connection(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "_reply", refuse)
        with server.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_until_closed(client) in (b"", b"<reset>")
    assert server.request("GET", "/").status == 200


@pytest.mark.parametrize("kind", [Connection, Http2Connection])
def test_fault_with_one_connection_stops_no_clock(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    """Without the clock no slow client is ever sent away, and no answer has the date of today."""
    with server.connect() as idle, monkeypatch.context() as patched:
        if kind is Http2Connection:
            idle.close()
            channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
            grpc.channel_ready_future(channel).result(120)
        patched.setattr(kind, "check_deadline", refuse)
        if kind is Connection:
            assert read_until_closed(idle) in (b"", b"<reset>")
        before = server.server.now
        looks = threading.Event()
        patched.setattr(kind, "check_deadline", lambda *_: looks.set())
        with server.connect(), grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as other:
            grpc.channel_ready_future(other).result(120)
            assert looks.wait(120)
        assert server.server.now >= before


def test_fault_within_a_frame_ends_its_connection_and_no_other(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, message = infer_message(typed=False)
    with monkeypatch.context() as patched:
        patched.setattr(Http2Connection, "feed", refuse)
        with (
            grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
            pytest.raises(grpc.RpcError) as refused,
        ):
            channel.unary_unary(path)(message, timeout=120)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert channel.unary_unary(path)(message, timeout=120, wait_for_ready=True)


@pytest.mark.parametrize("rows", [100, 30_000])
def test_answer_that_cannot_be_compressed_goes_out_as_it_is(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """On the event loop, and on a thread."""
    tensor = MLP | {"shape": [rows, 4], "data": [1] * (4 * rows)}
    monkeypatch.setattr("modelservice_runtime.protocols.rest.answers.encode_body", refuse)
    answer = server.request("POST", "/v2/models/mlp/infer", {"inputs": [tensor]}, {"Accept-Encoding": "gzip"})
    assert (answer.status, "Content-Encoding" in answer.headers) == (200, False)
    assert answer.json()["outputs"][0]["shape"] == [rows, 3]


def test_metrics_that_cannot_be_collected_are_a_500(
    server: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=120) as answer:
            return int(answer.status)

    with monkeypatch.context() as patched:
        patched.setattr("modelservice_runtime.observe.metrics.generate_latest", refuse)
        with pytest.raises(urllib.error.HTTPError, match="500"):
            ask()
    assert ask() == 200


async def test_fault_in_one_watched_file_keeps_the_others_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelservice_runtime.machine.file_watch._INTERVAL_SECONDS", 0.01)
    loaded: asyncio.Queue[str] = asyncio.Queue()
    faults: list[Exception] = []

    def load_bad() -> None:
        if faults:
            raise faults[0]

    files = [tmp_path / "bad", tmp_path / "good"]
    watched = [
        WatchedFiles("bad", files[:1], load_bad),
        WatchedFiles("good", files[1:], lambda: loaded.put_nowait(".")),
    ]
    loaded.get_nowait()
    faults.append(OwnError())
    poller = FilePoller(watched, asyncio.get_running_loop())
    for count in (2, 3):
        for file in files:
            file.write_text("x" * count)
        await asyncio.wait_for(loaded.get(), 120)
    poller.stop()
