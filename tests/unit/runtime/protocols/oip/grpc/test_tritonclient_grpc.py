"""An unmodified client of the protocol: `tritonclient[grpc]`."""

import queue
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tests.unit.runtime import onnx_models
from tests.unit.runtime.server_thread import ServerThread
from tritonclient.utils import InferenceServerException

from modelservice_runtime.tensors import DATATYPES


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[Any]:
    with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


def make_input(name: str, array: np.ndarray, datatype: str) -> Any:
    tensor = grpcclient.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def test_client_reads_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mlp")
    assert client.is_model_ready("mlp", "1")
    assert not client.is_model_ready("unknown")
    assert client.get_server_metadata().name == "modelservice"
    metadata = client.get_model_metadata("mlp")
    assert (metadata.platform, list(metadata.versions)) == ("onnx_onnxv1", ["1"])
    assert list(metadata.inputs[0].shape) == [-1, 4]
    scalar = client.get_model_config("total").config.output[0]
    assert (list(scalar.dims), scalar.HasField("reshape"), list(scalar.reshape.shape)) == ([1], True, [])
    config = client.get_model_config("mlp").config
    assert (config.backend, config.input[0].name, list(config.input[0].dims)) == ("onnxruntime", "x", [-1, 4])
    assert list(config.version_policy.specific.versions) == [1]
    index = {model.name: model.state for model in client.get_model_repository_index().models}
    assert index["mlp"] == "READY"


def test_client_reads_statistics(client: Any, server: ServerThread) -> None:
    client.infer("mlp", [make_input("x", np.ones((1, 4), np.float32), "FP32")])
    (stats,) = client.get_inference_statistics("mlp").model_stats
    counted = server.table.find("mlp", None).statistics
    assert (stats.inference_count, stats.inference_stats.success.count) == (
        counted.inference_count,
        counted.success_count,
    )
    assert stats.inference_stats.compute_infer.ns > 0
    assert len(client.get_inference_statistics().model_stats) == len(server.table.handles())


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_client_infers(client: Any, compression: str | None) -> None:
    data = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    output = grpcclient.InferRequestedOutput("y")
    result = client.infer(
        "mlp",
        [make_input("x", data, "FP32")],
        outputs=[output],
        request_id="7",
        compression_algorithm=compression,
        parameters={"anything": "goes"},
    )
    assert result.as_numpy("y").shape == (300, 3)
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("7", "mlp", "1")


def sample(datatype: str) -> np.ndarray:
    """Three values: two usual ones, and the largest of the datatype."""
    if datatype == "BYTES":
        return np.array([b"", b"text", "\u00fc".encode()], dtype=object)
    if datatype == "BF16":
        return np.array([0, 1.5, -2], ml_dtypes.bfloat16)
    dtype = DATATYPES[datatype].numpy
    if dtype.kind == "b":
        return np.array([False, True, True])
    largest = np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max
    return np.array([0, 1, largest], dtype)


@pytest.mark.parametrize("datatype", sorted(onnx_models.ONNX_TYPES))
def test_client_gets_back_what_it_sends_in_every_datatype(client: Any, datatype: str) -> None:
    data = sample(datatype)
    result = client.infer(f"identity_{datatype}", [make_input("x", data, datatype)])
    assert result.as_numpy("y").tolist() == data.tolist()


def test_client_may_send_a_list_as_a_column(client: Any) -> None:
    column = sample("INT64").reshape(3, 1)
    result = client.infer("identity_INT64", [make_input("x", column, "INT64")])
    assert result.as_numpy("y").tolist() == column.ravel().tolist()


@pytest.mark.parametrize(
    ("model", "datatype", "shape", "status"),
    [
        ("unknown", "FP32", [1, 4], "NOT_FOUND"),
        ("mlp", "FP64", [1, 4], "INVALID_ARGUMENT"),
        ("mlp", "FP32", [1, 5], "INVALID_ARGUMENT"),
        ("gather", "INT64", [1], "INVALID_ARGUMENT"),
    ],
)
def test_client_sees_errors(client: Any, model: str, datatype: str, shape: list[int], status: str) -> None:
    data = np.full(shape, 99, DATATYPES[datatype].numpy)
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, [make_input("x", data, datatype)])
    assert refused.value.status() == f"StatusCode.{status}"
    assert refused.value.message()


def test_client_timeout_ends_a_slow_run(client: Any) -> None:
    data = np.array([9_000_000_000], np.int64)
    with pytest.raises(InferenceServerException) as refused:
        client.infer("loop", [make_input("x", data, "INT64")], timeout=20_000)
    assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
        client.infer("loop", [make_input("x", data, "INT64")], client_timeout=0.05)


def test_client_streams(client: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(5):
        data = np.full((1, 4), number, np.float32)
        name = "unknown" if number == 3 else "any"
        client.async_stream_infer(name, [make_input("x", data, "FP32")], request_id=str(number))
    got = [answers.get(timeout=120) for _ in range(5)]
    client.stop_stream()
    for number, (result, error) in enumerate(got):
        if number == 3:
            assert "unknown" in error.message()
        else:
            assert result.get_response().id == str(number)
            assert result.as_numpy("y").tolist() == [[number] * 4]
            assert result.get_response().parameters["triton_final_response"].bool_param


def test_client_sends_and_gets_large_tensors(client: Any) -> None:
    data = np.random.default_rng(1).normal(size=(600, 500)).astype(np.float32)
    result = client.infer("any", [make_input("x", data, "FP32")])
    assert np.array_equal(result.as_numpy("y"), data)
