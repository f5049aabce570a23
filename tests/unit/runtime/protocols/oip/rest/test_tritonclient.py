"""An unmodified client of the protocol: `tritonclient[http]`."""

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as httpclient
from tests.unit.runtime.server_thread import ServerThread


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[object]:
    with httpclient.InferenceServerClient(f"127.0.0.1:{server.port}") as opened:
        yield opened


def test_client_reads_health_and_metadata(client) -> None:  # type: ignore[no-untyped-def]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mlp")
    assert client.is_model_ready("mlp", "1")
    assert not client.is_model_ready("unknown")
    assert client.get_server_metadata()["name"] == "modelservice"
    assert client.get_model_metadata("mlp")["inputs"][0]["shape"] == [-1, 4]
    assert client.get_model_config("mlp")["backend"] == "onnxruntime"
    assert {
        "name": "mlp",
        "version": "1",
        "state": "READY",
        "reason": "",
    } in client.get_model_repository_index()
    assert client.get_inference_statistics("mlp")["model_stats"][0]["name"] == "mlp"


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_client_infers(client, binary: bool, compression: str | None) -> None:  # type: ignore[no-untyped-def]
    data = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    tensor = httpclient.InferInput("x", data.shape, "FP32")
    tensor.set_data_from_numpy(data, binary_data=binary)
    output = httpclient.InferRequestedOutput("y", binary_data=binary)
    result = client.infer(
        "mlp", [tensor], outputs=[output], request_id="r1",
        request_compression_algorithm=compression, response_compression_algorithm=compression,
    )  # fmt: skip
    assert result.get_response()["id"] == "r1"
    single = client.infer("mlp", [tensor]).as_numpy("y")
    assert result.as_numpy("y").shape == (300, 3)
    np.testing.assert_allclose(result.as_numpy("y"), single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("binary", [True, False])
def test_client_sends_and_reads_strings(client, binary: bool) -> None:  # type: ignore[no-untyped-def]
    texts = np.array(["a", "ünïcödé", ""], dtype=object)
    tensor = httpclient.InferInput("x", [3], "BYTES")
    tensor.set_data_from_numpy(texts, binary_data=binary)
    outputs = [httpclient.InferRequestedOutput("y", binary_data=binary)]
    returned = client.infer("text", [tensor], outputs=outputs).as_numpy("y")
    assert [item.decode() if isinstance(item, bytes) else item for item in returned] == texts.tolist()


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "UINT64", "FP16", "FP64"])
def test_client_sends_datatypes(client, datatype: str) -> None:  # type: ignore[no-untyped-def]
    from tritonclient.utils import triton_to_np_dtype

    data = np.array([1, 0], triton_to_np_dtype(datatype))
    tensor = httpclient.InferInput("x", [2], datatype)
    tensor.set_data_from_numpy(data)
    assert client.infer(f"identity_{datatype}", [tensor]).as_numpy("y").tolist() == data.tolist()


def test_client_sends_raw_requests(client) -> None:  # type: ignore[no-untyped-def]
    body = np.zeros((2, 4), np.float32)
    request, header_length = body.tobytes(), 0
    response = client._post(
        "v2/models/mlp/infer", request, {"Inference-Header-Content-Length": header_length}, None
    )
    assert response.status_code == 200


def test_client_sees_our_sentence_as_its_error(client) -> None:  # type: ignore[no-untyped-def]
    from tritonclient.utils import InferenceServerException

    tensor = httpclient.InferInput("x", [1, 5], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 5), np.float32))
    with pytest.raises(InferenceServerException, match=r"input 'x' has shape \[1, 5\]"):
        client.infer("mlp", [tensor])
