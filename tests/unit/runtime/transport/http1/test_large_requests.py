"""Requests that take long to decode wait for a thread, in every protocol, while others are answered.

Here all threads for such work are busy until the test says so. What the event loop decoded itself would be
answered before.
"""

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.unit.runtime.busy_threads import Busy, answer_while_busy
from tests.unit.runtime.protocols.tfs import tfs_models
from tests.unit.runtime.server_thread import Answer, ServerThread

from modelservice_runtime.protos import inference_pb2, tensorflow_pb2, tensorflow_serving_pb2
from modelservice_runtime.tensors import MAX_TEXTS

COUNT = 40_000
WORDS = ["word"] * COUNT
PACKED_WORDS = b"\4\0\0\0word" * COUNT


@pytest.fixture(scope="module")
def server(model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    names = ("mlp", "text", "identity_FP32", "identity_INT64")
    classifier = tfs_models.save_classifier(tmp_path_factory.mktemp("large") / "classifier.onnx")
    with ServerThread({"classifier": classifier, **{name: model_files[name] for name in names}}) as running:
        yield running


def tensor(name: str, datatype: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [COUNT], **fields}


def infer_json(datatype: str, data: list[Any]) -> bytes:
    return json.dumps({"inputs": [tensor("x", datatype, data=data)]}).encode()


def with_binary(entry: dict[str, Any], binary: bytes, padding: int = 0) -> tuple[bytes, dict[str, str]]:
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    head += b" " * padding
    return head + binary, {"Inference-Header-Content-Length": str(len(head))}


FLOATS = [0.25] * COUNT
GZIP = {"Content-Encoding": "gzip"}
TEXT, NUMBERS = "/v2/models/text/infer", "/v2/models/identity_FP32/infer"
REST: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "json": (NUMBERS, infer_json("FP32", FLOATS), {}),
    "gzip that is small before": (NUMBERS, gzip.compress(infer_json("FP32", FLOATS)), GZIP),
    "binary texts": (
        TEXT,
        *with_binary(tensor("x", "BYTES", parameters={"binary_data_size": len(PACKED_WORDS)}), PACKED_WORDS),
    ),
    "json before binary": (NUMBERS, *with_binary(tensor("x", "FP32", data=FLOATS), b"", 100_000)),
    "predict rows": ("/v1/models/text:predict", json.dumps({"instances": WORDS}).encode(), {}),
    "predict columns": ("/v1/models/text:predict", json.dumps({"inputs": {"x": WORDS}}).encode(), {}),
    "predict gzip": ("/v1/models/text:predict", gzip.compress(json.dumps({"inputs": WORDS}).encode()), GZIP),
    "classify": (
        "/v1/models/classifier:classify",
        json.dumps({"examples": [{"x": [0.5, 0.25]}] * 8000}).encode(),
        {},
    ),
    "regress": (
        "/v1/models/identity_FP32:regress",
        json.dumps({"examples": [{"x": 0.5}] * 15_000}).encode(),
        {},
    ),
}


@pytest.mark.parametrize("name", REST)
def test_large_rest_request_waits_and_others_do_not(server: ServerThread, busy: Busy, name: str) -> None:
    path, body, headers = REST[name]
    answer: Answer = answer_while_busy(busy, server, lambda: server.request("POST", path, body, headers))
    assert answer.status == 200, answer.body[:500]


def infer_request(model: str, datatype: str) -> inference_pb2.ModelInferRequest:
    request = inference_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype=datatype, shape=[COUNT])
    return request


def raw_texts() -> inference_pb2.ModelInferRequest:
    request = infer_request("text", "BYTES")
    request.raw_input_contents.append(PACKED_WORDS)
    return request


def typed_texts() -> inference_pb2.ModelInferRequest:
    request = infer_request("text", "BYTES")
    request.inputs[0].contents.bytes_contents.extend([b"word"] * COUNT)
    return request


def typed_numbers() -> inference_pb2.ModelInferRequest:
    request = infer_request("identity_INT64", "INT64")
    request.inputs[0].contents.int64_contents.extend(range(10**9, 10**9 + COUNT))
    return request


def predict_texts() -> tensorflow_serving_pb2.PredictRequest:
    request = tensorflow_serving_pb2.PredictRequest(model_spec={"name": "text"})
    values = request.inputs["x"]
    values.dtype = tensorflow_pb2.DT_STRING
    values.tensor_shape.dim.add(size=COUNT)
    values.string_val.extend([b"word"] * COUNT)
    return request


def classify() -> tensorflow_serving_pb2.ClassificationRequest:
    request = tensorflow_serving_pb2.ClassificationRequest(model_spec={"name": "classifier"})
    for _ in range(2000):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.extend([0.25, 0.75])
    return request


OIP, PREDICTION = "/inference.GRPCInferenceService", "/tensorflow.serving.PredictionService"
GRPC: dict[str, tuple[str, Callable[[], Any]]] = {
    "raw texts": (f"{OIP}/ModelInfer", raw_texts),
    "typed texts": (f"{OIP}/ModelInfer", typed_texts),
    "typed numbers": (f"{OIP}/ModelInfer", typed_numbers),
    "predict": (f"{PREDICTION}/Predict", predict_texts),
    "classify": (f"{PREDICTION}/Classify", classify),
}


@pytest.mark.parametrize("name", GRPC)
def test_large_grpc_request_waits_and_others_do_not(server: ServerThread, busy: Busy, name: str) -> None:
    path, make = GRPC[name]
    message = make().SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        ask = channel.unary_unary(path)
        assert answer_while_busy(busy, server, lambda: ask(message, timeout=120))


def test_compressed_grpc_message_is_inflated_on_a_thread(server: ServerThread, busy: Busy) -> None:
    array = np.arange(COUNT, dtype=np.float32)
    request = infer_request("identity_FP32", "FP32")
    request.raw_input_contents.append(array.tobytes())
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        ask = channel.unary_unary(f"{OIP}/ModelInfer")
        answer = answer_while_busy(busy, server, lambda: ask(request.SerializeToString(), timeout=120))
    assert inference_pb2.ModelInferResponse.FromString(answer).raw_output_contents == [array.tobytes()]


def test_binary_numbers_need_no_thread(server: ServerThread, busy: Busy) -> None:
    data = np.ones(COUNT, np.float32).tobytes()
    body, headers = with_binary(tensor("x", "FP32", parameters={"binary_data_size": len(data)}), data)
    assert server.request("POST", NUMBERS, body, headers).status == 200


def test_large_request_that_is_wrong_is_refused_and_counted(server: ServerThread) -> None:
    statistics = server.table.find("text", None).statistics
    failed = statistics.failures["OTHER"]
    body = json.dumps({"instances": [*WORDS, 1]}).encode()
    answer = server.request("POST", "/v1/models/text:predict", body)
    assert (answer.status, "needs strings" in answer.json()["error"]) == (400, True)
    message = raw_texts()
    message.raw_input_contents[0] += base64.b64decode("AAAA")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"{OIP}/ModelInfer")(message.SerializeToString(), timeout=120)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert statistics.failures["OTHER"] == failed + 2


def test_client_that_leaves_while_its_request_waits_is_counted_and_not_run(
    server: ServerThread, busy: Busy
) -> None:
    statistics = server.table.find("text", None).statistics
    before = statistics.failures["CANCELED"], statistics.success_count
    with server.connect() as connection:
        body = json.dumps({"instances": WORDS}).encode()
        head = b"POST /v1/models/text:predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        busy.wait_for_work()
    while server.server.connections:
        time.sleep(0.005)
    busy.gate.set()
    deadline = time.monotonic() + 120
    while statistics.failures["CANCELED"] == before[0]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert (statistics.failures["CANCELED"], statistics.success_count) == (before[0] + 1, before[1])


@pytest.mark.parametrize("header", ["X-Request-Timeout", "X-Envoy-Expected-Rq-Timeout-Ms"])
def test_predict_takes_its_timeout_from_headers(server: ServerThread, header: str) -> None:
    body = {"instances": ["a"]}
    assert server.request("POST", "/v1/models/text:predict", body, {header: "500"}).status == 200
    answer = server.request("POST", "/v1/models/text:predict", body, {header: "soon"})
    assert (answer.status, header.lower() in answer.json()["error"]) == (400, True)


def test_repository_index_takes_small_bodies_only(server: ServerThread) -> None:
    padding = json.dumps({"ready": True, "x": "." * 70_000}).encode()
    for body, headers in ((padding, {}), (gzip.compress(padding), GZIP)):
        assert server.request("POST", "/v2/repository/index", body, headers).status == 413
    assert server.request("POST", "/v2/repository/index", {"ready": True}).status == 200


def test_too_many_texts_are_413_and_resource_exhausted(server: ServerThread) -> None:
    count = MAX_TEXTS + 1
    words = tensor("x", "BYTES", parameters={"binary_data_size": 4 * count})
    body, headers = with_binary({**words, "shape": [count]}, bytes(4 * count))
    answer = server.request("POST", TEXT, body, headers)
    assert (answer.status, f"the limit is {MAX_TEXTS}" in answer.json()["error"]) == (413, True)
    message = raw_texts()
    message.inputs[0].shape[0] = count
    message.raw_input_contents[0] = bytes(4 * count)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"{OIP}/ModelInfer")(message.SerializeToString(), timeout=120)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def long_text_of(protocol: str, server: ServerThread) -> bool:
    """Whether one long text came back."""
    text = "a" * 1_000_000
    if protocol == "infer":
        one = {"name": "x", "datatype": "BYTES", "shape": [1], "data": [text]}
        return bool(server.infer("text", [one]).json()["outputs"][0]["data"] == [text])
    if protocol == "predict":
        answer = server.request("POST", "/v1/models/text:predict", {"instances": [text]})
        return bool(answer.json()["predictions"] == [text])
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        if protocol == "grpc infer":
            path, message = f"{OIP}/ModelInfer", raw_texts()
            message.inputs[0].shape[0] = 1
            message.raw_input_contents[0] = len(text).to_bytes(4, "little") + text.encode()
            return text.encode() in channel.unary_unary(path)(message.SerializeToString(), timeout=120)
        predict = predict_texts()
        del predict.inputs["x"].string_val[1:]
        predict.inputs["x"].string_val[0] = text.encode()
        predict.inputs["x"].tensor_shape.dim[0].size = 1
        ask = channel.unary_unary(f"{PREDICTION}/Predict")
        return text.encode() in ask(predict.SerializeToString(), timeout=120)


@pytest.mark.parametrize("protocol", ["infer", "predict", "grpc infer", "grpc predict"])
def test_long_text_does_not_run_on_the_event_loop(
    server: ServerThread, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = server.table.find("text", None).lane._model
    threads: list[str] = []
    run = model.run

    def watch(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return run(*arguments)

    monkeypatch.setattr(model, "run", watch)
    assert long_text_of(protocol, server)
    assert threads != [server._thread.name]
    assert len(threads) == 1
