"""NaN and infinities in answers: every protocol gives them, and each such request is counted once."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.protos import inference_pb2 as pb
from modelservice_runtime.protos import tensorflow_pb2 as tf
from modelservice_runtime.protos import tensorflow_serving_pb2 as tfs

NAN, INFINITE, FINE = [1.0, -1.0], [0.0, 1.0], [1.0, 2.0]


@pytest.fixture(scope="module")
def counting(model_files: dict[str, Path]) -> Iterator[ServerThread]:
    """Counts of its own."""
    names = ("log", "identity_FP16", "identity_BF16", "identity_FP64", "identity_INT64")
    with ServerThread({name: model_files[name] for name in names}) as running:
        yield running


def counted(server: ServerThread, model: str = "log") -> int:
    return server.table.find(model, None).statistics.nonfinite_count


def rest_json(server: ServerThread, values: list[float]) -> list[float]:
    answer = server.infer("log", [{"name": "x", "shape": [2], "datatype": "FP32", "data": values}])
    assert answer.status == 200
    data: list[float] = answer.json()["outputs"][0]["data"]
    return data


def rest_binary(server: ServerThread, values: list[float]) -> list[float]:
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = server.request("POST", "/v2/models/log/infer", head + struct.pack("<2f", *values), headers)
    assert answer.status == 200
    return list(struct.unpack("<2f", answer.body[int(answer.headers["Inference-Header-Content-Length"]) :]))


def tfs_rest(server: ServerThread, values: list[float]) -> list[float]:
    answer = server.request("POST", "/v1/models/log:predict", {"instances": values})
    assert answer.status == 200
    predictions: list[float] = answer.json()["predictions"]
    return predictions


def call(server: ServerThread, method: str, request: Any, answer: Any) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return stub(request, timeout=120)


def grpc_raw(server: ServerThread, values: list[float]) -> list[float]:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[2])
    request = pb.ModelInferRequest(
        model_name="log", inputs=[tensor], raw_input_contents=[struct.pack("<2f", *values)]
    )
    answer = call(server, "/inference.GRPCInferenceService/ModelInfer", request, pb.ModelInferResponse)
    return list(struct.unpack("<2f", answer.raw_output_contents[0]))


def grpc_tfs(server: ServerThread, values: list[float]) -> list[float]:
    shape = tf.TensorShapeProto(dim=[tf.TensorShapeProto.Dim(size=2)])
    tensor = tf.TensorProto(dtype=tf.DT_FLOAT, tensor_shape=shape, float_val=values)
    request = tfs.PredictRequest(model_spec=tfs.ModelSpec(name="log"), inputs={"x": tensor})
    answer = call(server, "/tensorflow.serving.PredictionService/Predict", request, tfs.PredictResponse)
    output = answer.outputs["y"]
    return list(output.float_val) or list(struct.unpack("<2f", output.tensor_content))


@pytest.mark.parametrize("ask", [rest_json, rest_binary, tfs_rest, grpc_raw, grpc_tfs])
@pytest.mark.parametrize(("values", "growth"), [(NAN, 1), (INFINITE, 1), (FINE, 0)])
def test_answer_with_nan_is_given_and_counted(
    counting: ServerThread, ask: Any, values: list[float], growth: int
) -> None:
    before = counted(counting)
    with np.errstate(all="ignore"):
        expected = np.log(np.array(values, np.float32))

    # The first ones are answered the long way, the later ones from prepared memory.
    for number in range(1, 6):
        assert np.array_equal(np.float32(ask(counting, values)), expected, equal_nan=True), (
            "the same as the model gave"
        )
        assert counted(counting) == before + number * growth


@pytest.mark.parametrize(
    ("ask", "protocol"),
    [
        (rest_json, "oip-rest"),
        (rest_binary, "oip-rest"),
        (tfs_rest, "tfs-rest"),
        (grpc_raw, "oip-grpc"),
        (grpc_tfs, "tfs-grpc"),
    ],
)
def test_every_request_is_counted_for_its_protocol_once(
    counting: ServerThread, ask: Any, protocol: str
) -> None:
    statistics = counting.table.find("log", None).statistics
    before, requests = dict(statistics.arrivals), statistics.request_count
    for _ in range(5):  # the long way, then from prepared memory
        ask(counting, FINE)
    grown = {name: count - before[name] for name, count in statistics.arrivals.items()}
    assert grown == {name: 5 if name == protocol else 0 for name in before}
    assert statistics.request_count == requests + 5


@pytest.mark.parametrize("size", [2, 40])
@pytest.mark.parametrize(
    ("datatype", "item", "fine"),
    [
        ("FP16", struct.pack("<e", np.nan), struct.pack("<e", 65504)),
        ("BF16", b"\x80\xff", b"\x7f\x7f"),
        ("FP64", struct.pack("<d", -np.inf), struct.pack("<d", 1.7e308)),
        ("INT64", b"\xff" * 8, b"\x7f" * 8),
    ],
)
def test_every_float_is_looked_at(
    counting: ServerThread, datatype: str, item: bytes, fine: bytes, size: int
) -> None:
    model = f"identity_{datatype}"
    before = counted(counting, model)
    for body, growth in ((fine * size, 0), (fine * (size - 1) + item, datatype != "INT64")):
        tensor = {"name": "x", "shape": [size], "datatype": datatype}
        tensor["parameters"] = {"binary_data_size": len(body)}
        head = json.dumps({"inputs": [tensor], "outputs": [{"name": "y"}]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head))}
        assert counting.request("POST", f"/v2/models/{model}/infer", head + body, headers).status == 200
        assert counted(counting, model) == before + growth
