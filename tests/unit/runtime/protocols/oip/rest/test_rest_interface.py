"""The Open Inference Protocol's REST interface, over a real socket."""

import base64
import gzip
import json
import struct
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.onnx_models import ONNX_TYPES
from tests.unit.runtime.server_thread import Answer, ServerThread

from modelservice_runtime.settings.lanes import LaneSettings

MLP = "/v2/models/mlp/infer"
OCTETS = {"Content-Type": "application/octet-stream"}


def tensor(name: str, datatype: str, shape: list[int], data: object) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def binary_request(
    server: ServerThread, model: str, head: dict[str, Any], data: bytes, **headers: str
) -> Answer:
    encoded = json.dumps(head).encode()
    all_headers = {"Inference-Header-Content-Length": str(len(encoded)), **OCTETS, **headers}
    return server.request("POST", f"/v2/models/{model}/infer", encoded + data, all_headers)


def split_binary(answer: Answer) -> tuple[dict[str, Any], bytes]:
    length = int(answer.headers["Inference-Header-Content-Length"])
    return json.loads(answer.body[:length]), answer.body[length:]


def error_of(answer: Answer) -> str:
    document = answer.json()
    assert list(document) == ["error"]
    return str(document["error"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", {"status": "alive"}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/mlp/ready", {"name": "mlp", "ready": True}),
        ("/v2/models/mlp/versions/1/ready", {"name": "mlp", "ready": True}),
        ("http://127.0.0.1/v2/health/live?verbose=1", {"live": True}),
    ],
)
def test_health_of_a_ready_server_is_200(server: ServerThread, path: str, expected: object) -> None:
    answer = server.request("GET", path)
    assert (answer.status, answer.json()) == (200, expected)


def test_server_metadata_names_the_extensions(server: ServerThread) -> None:
    document = server.request("GET", "/v2").json()
    assert document["name"] == "modelservice"
    assert "binary_tensor_data" in document["extensions"]


def test_model_metadata_has_signature_and_versions(server: ServerThread) -> None:
    assert server.request("GET", "/v2/models/two").json() == {
        "name": "two",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "b", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "sum", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "copy", "datatype": "BYTES", "shape": [-1]},
        ],
    }


def test_model_config_uses_tritons_types(server: ServerThread) -> None:
    document = server.request("GET", "/v2/models/text/config").json()
    assert document["max_batch_size"] == 0
    (given,) = document["input"]
    assert {"name": "x", "data_type": "TYPE_STRING", "dims": [-1], "optional": False}.items() <= given.items()
    assert document["parameters"] == {}


@pytest.mark.parametrize(
    ("model", "rows", "parameters"),
    [
        ("mlp", 4, {"batching_source": "SOURCE"}),
        ("total", 0, {"batching_obstacle": "output 'y' has no variable first dimension: []"}),
    ],
)
def test_model_config_tells_whether_and_why_requests_share_runs(
    model_files: dict[str, Path], model: str, rows: int, parameters: dict[str, str]
) -> None:
    with ServerThread({model: model_files[model]}, lane=LaneSettings(max_batch_size=4)) as batching:
        document = batching.request("GET", f"/v2/models/{model}/config").json()
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{batching.metrics_port}/metrics").read().decode()
        source = batching.table.find(model, None).batching.source
    assert document["max_batch_size"] == rows
    told = {name: {"string_value": text.replace("SOURCE", source or "")} for name, text in parameters.items()}
    assert document["parameters"] == told
    assert f'modelservice_max_batch_size{{model="{model}",version="1"}} {max(rows, 1)}.0\n' in metrics
    obstacle = parameters.get("batching_obstacle", "")
    assert f'obstacle="{obstacle}",source="{source or ""}",version="1"}} 1.0\n' in metrics


def test_model_config_has_a_dimension_for_every_tensor(server: ServerThread) -> None:
    """As Triton's does; clients refuse others."""
    scalar = {"name": "y", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}
    (output,) = server.request("GET", "/v2/models/total/config").json()["output"]
    assert scalar.items() <= output.items()


def test_lists_may_come_as_columns(server: ServerThread) -> None:
    """MLServer's codecs send them so."""
    column = {"name": "x", "datatype": "BYTES", "shape": [2, 1], "data": [["a"], ["b"]]}
    answer = server.request("POST", "/v2/models/text/infer", {"inputs": [column]}).json()
    assert answer["outputs"][0]["shape"] == [2]
    assert answer["outputs"][0]["data"] == ["a", "b"]


def test_repository_index_lists_the_models(server: ServerThread) -> None:
    index = server.request("POST", "/v2/repository/index", {"ready": True}).json()
    assert {"name": "mlp", "version": "1", "state": "READY", "reason": ""} in index
    assert server.request("POST", "/v2/repository/index").json() == index


def test_statistics_count_requests(server: ServerThread) -> None:
    def count() -> int:
        stats = server.request("GET", "/v2/models/total/stats").json()["model_stats"][0]
        assert stats["batch_stats"] == [] or stats["batch_stats"][0]["batch_size"] == 1
        return int(stats["inference_stats"]["success"]["count"])

    before = count()
    server.infer("total", [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])])
    assert count() == before + 1
    names = {entry["name"] for entry in server.request("GET", "/v2/models/stats").json()["model_stats"]}
    assert {"mlp", "total"} <= names


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[1, 2, 3, 4.5]], [[[1], [2], [3], [4.5]]]])
def test_infer_with_flat_or_nested_data_answers(server: ServerThread, data: object) -> None:
    answer = server.infer("mlp", [tensor("x", "FP32", [1, 4], data)], id="request 7")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert (document["model_name"], document["model_version"], document["id"]) == ("mlp", "1", "request 7")
    assert document["outputs"][0]["shape"] == [1, 3]
    assert len(document["outputs"][0]["data"]) == 3


def test_statistics_of_a_version_and_of_an_unknown_one(server: ServerThread) -> None:
    stats = server.request("GET", "/v2/models/mlp/versions/1/stats").json()["model_stats"]
    assert [(entry["name"], entry["version"]) for entry in stats] == [("mlp", "1")]
    assert server.request("GET", "/v2/models/mlp/versions/2/stats").status == 404
    assert server.request("GET", "/v2/models/nope/stats").status == 404


def test_model_that_loads_is_known_and_not_ready(server: ServerThread) -> None:
    server.loop.call_soon_threadsafe(server.table.declare, "loading", "1")
    try:
        ready = server.request("GET", "/v2/models/loading/ready")
        assert (ready.status, ready.json()) == (503, {"name": "loading", "ready": False})
        answer = server.request("GET", "/v2/health/ready")
        assert (answer.status, answer.json()) == (503, {"ready": False})
        answer = server.infer("loading", [])
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        index = server.request("POST", "/v2/repository/index", {}).json()
        assert {"name": "loading", "version": "1", "state": "LOADING", "reason": ""} in index
        ready_only = server.request("POST", "/v2/repository/index", {"ready": True}).json()
        assert "loading" not in {entry["name"] for entry in ready_only}
    finally:
        server.table._entries.pop(("loading", "1"))


@pytest.mark.parametrize("path", ["generate", "generate_stream", "versions/1/generate"])
def test_generate_of_a_model_that_is_no_text_model_is_501(server: ServerThread, path: str) -> None:
    answer = server.request("POST", f"/v2/models/mlp/{path}", {"text_input": "hello"})
    assert answer.status == 501
    assert "'mlp' takes tensors" in error_of(answer)
    assert server.request("POST", f"/v2/models/nope/{path}", {"text_input": "hello"}).status == 404


def test_infer_with_version_answers_and_unknown_version_is_404(server: ServerThread) -> None:
    body = {"inputs": [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])]}
    assert server.request("POST", "/v2/models/mlp/versions/1/infer", body).status == 200
    answer = server.request("POST", "/v2/models/mlp/versions/2/infer", body)
    assert (answer.status, error_of(answer)) == (404, "model 'mlp' has no version '2'; it has ['1']")


JSON_VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False], "UINT8": [0, 255], "UINT16": [0, 65535], "UINT32": [0, 2**32 - 1],
    "UINT64": [1, 2**64 - 1], "INT8": [-128, 127], "INT16": [-(2**15), 2**15 - 1],
    "INT32": [-(2**31), 2**31 - 1], "INT64": [-(2**63), 2**63 - 1], "FP16": [0.5, -65504.0],
    "BF16": [1.5, -2.0], "FP32": [0.1, -3.4e38], "FP64": [0.1, 1.7e308], "BYTES": ["a", "é\u0000\n"],
}  # fmt: skip


@pytest.mark.parametrize("datatype", list(ONNX_TYPES))
def test_infer_json_round_trip_keeps_every_datatype(server: ServerThread, datatype: str) -> None:
    values = JSON_VALUES[datatype]
    answer = server.infer(f"identity_{datatype}", [tensor("x", datatype, [2], values)])
    assert answer.status == 200, answer.body
    output = answer.json()["outputs"][0]
    assert (output["datatype"], output["shape"], output["data"]) == (datatype, [2], values)


BINARY_VALUES: dict[str, bytes] = {
    **{
        name: bytes(range(2 * size))
        for name, size in (("UINT8", 1), ("INT8", 1), ("UINT16", 2), ("INT16", 2))
    },
    **{
        name: bytes(range(2 * size))
        for name, size in (("UINT32", 4), ("INT32", 4), ("UINT64", 8), ("INT64", 8))
    },
    "BOOL": b"\x01\x00",
    "FP16": np.array([1.5, np.nan], np.float16).tobytes(),
    "BF16": b"\x80\x3f\xc0\x7f",
    "FP32": np.array([1.5, -np.inf], np.float32).tobytes(),
    "FP64": np.array([0.1, np.nan], np.float64).tobytes(),
    "BYTES": b"\x02\x00\x00\x00hi\x03\x00\x00\x00\xe2\x82\xac",
}


@pytest.mark.parametrize("datatype", list(ONNX_TYPES))
def test_infer_binary_round_trip_keeps_every_bit(server: ServerThread, datatype: str) -> None:
    data = BINARY_VALUES[datatype]
    head = {
        "inputs": [
            {"name": "x", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(data)}}
        ],
        "parameters": {"binary_data_output": True},
    }
    answer = binary_request(server, f"identity_{datatype}", head, data)
    assert answer.status == 200, answer.body
    document, returned = split_binary(answer)
    assert document["outputs"] == [
        {"name": "y", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(data)}}
    ]
    assert returned == data


def test_infer_binary_and_json_tensors_mix(server: ServerThread) -> None:
    text = struct.pack("<I", 2) + b"ab"
    floats = np.array([[1, 2]], np.float32).tobytes()
    head = {
        "inputs": [
            {
                "name": "text",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": len(text)},
            },
            tensor("b", "FP32", [1, 2], [10, 20]),
            {"name": "a", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        ],
        "outputs": [{"name": "copy"}, {"name": "sum", "parameters": {"binary_data": True}}],
    }
    document, returned = split_binary(binary_request(server, "two", head, text + floats))
    assert [output["name"] for output in document["outputs"]] == ["copy", "sum"]
    assert document["outputs"][0]["data"] == ["ab"]
    assert np.frombuffer(returned, np.float32).tolist() == [11, 22]


def test_infer_output_setting_wins_over_binary_data_output(server: ServerThread) -> None:
    answer = server.infer(
        "mlp",
        [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])],
        parameters={"binary_data_output": True},
        outputs=[{"name": "y", "parameters": {"binary_data": False}}],
    )
    assert len(answer.json()["outputs"][0]["data"]) == 3


def test_infer_raw_request_takes_the_shape_from_the_size(server: ServerThread) -> None:
    data = np.arange(8, dtype=np.float32)
    headers = {"Inference-Header-Content-Length": "0"}
    document, returned = split_binary(server.request("POST", MLP, data.tobytes(), headers))
    assert document["outputs"][0]["shape"] == [2, 3]
    assert len(returned) == 24


def test_infer_raw_request_of_bytes_is_one_element(server: ServerThread) -> None:
    headers = {"Inference-Header-Content-Length": "0"}
    document, returned = split_binary(
        server.request("POST", "/v2/models/text/infer", "héllo".encode(), headers)
    )
    assert document["outputs"][0]["shape"] == [1]
    assert returned == struct.pack("<I", 6) + "héllo".encode()


@pytest.mark.parametrize(
    ("model", "body", "part"),
    [
        ("two", b"", "a raw request needs a model with one input"),
        ("mlp", bytes(15), "has 15 bytes of binary data"),
        ("mlp", b"", "the body is empty"),
        ("text", b"\xff", "not UTF-8"),
    ],
)
def test_infer_raw_request_that_does_not_fit_is_400(
    server: ServerThread, model: str, body: bytes, part: str
) -> None:
    answer = server.request(
        "POST", f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": "0"}
    )
    assert answer.status == 400
    assert part in error_of(answer)


def test_infer_bytes_accepts_base64(server: ServerThread) -> None:
    encoded = {"b64": base64.b64encode("ü:x".encode()).decode()}
    answer = server.infer("text", [tensor("x", "BYTES", [2], ["plain", encoded])])
    assert answer.json()["outputs"][0]["data"] == ["plain", "ü:x"]


def test_infer_requested_outputs_come_in_the_order_asked(server: ServerThread) -> None:
    inputs = [
        tensor("a", "FP32", [1, 2], [1, 2]),
        tensor("b", "FP32", [1, 2], [3, 4]),
        tensor("text", "BYTES", [1], ["t"]),
    ]
    outputs = server.infer("two", inputs, outputs=[{"name": "copy"}, {"name": "sum"}]).json()["outputs"]
    assert [output["name"] for output in outputs] == ["copy", "sum"]
    assert [o["name"] for o in server.infer("two", inputs, outputs=[{"name": "sum"}]).json()["outputs"]] == [
        "sum"
    ]
    assert len(server.infer("two", inputs, outputs=[]).json()["outputs"]) == 2


def test_infer_non_finite_outputs_are_tokens_in_json_and_exact_in_binary(server: ServerThread) -> None:
    request = [tensor("x", "FP32", [4], [0, -1, 1, 1e38])]
    answer = server.infer("log", request)
    assert b"[-Infinity,NaN,0.0," in answer.body
    assert np.isneginf(answer.json()["outputs"][0]["data"][0])
    _, data = split_binary(server.infer("log", request, parameters={"binary_data_output": True}))
    assert np.isneginf(np.frombuffer(data, np.float32)[0])


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_infer_compressed_request_and_response(server: ServerThread, name: str) -> None:
    body = json.dumps({"inputs": [tensor("x", "FP32", [1000, 4], [1.5] * 4000)]}).encode()
    compressed = gzip.compress(body) if name == "gzip" else zlib.compress(body)
    answer = server.request(
        "POST", MLP, compressed, {"Content-Encoding": name, "Accept-Encoding": f"br, {name}"}
    )
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, name)
    decoded = gzip.decompress(answer.body) if name == "gzip" else zlib.decompress(answer.body)
    assert json.loads(decoded)["outputs"][0]["shape"] == [1000, 3]


def test_infer_small_response_is_not_compressed(server: ServerThread) -> None:
    body = {"inputs": [tensor("x", "FP32", [1, 4], [1, 2, 3, 4])]}
    answer = server.request("POST", MLP, body, {"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
    assert answer.status == 200


def test_infer_unknown_content_encoding_is_415(server: ServerThread) -> None:
    answer = server.request("POST", MLP, b"{}", {"Content-Encoding": "br"})
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "gzip, deflate")


def test_infer_zero_rows_answer_zero_rows(server: ServerThread) -> None:
    assert server.infer("mlp", [tensor("x", "FP32", [0, 4], [])]).json()["outputs"][0]["shape"] == [0, 3]


X = tensor("x", "FP32", [1, 4], [1, 2, 3, 4])
BAD_REQUESTS: list[tuple[str, object, str]] = [
    ("no inputs", {}, "needs 'inputs'"),
    ("inputs no list", {"inputs": {}}, "needs 'inputs'"),
    ("input no object", {"inputs": [1]}, "must be an object"),
    ("missing input", {"inputs": []}, "missing input: 'x' FP32 [-1, 4]"),
    ("unnamed input", {"inputs": [{}]}, "an input has no 'name'"),
    (
        "unknown input",
        {"inputs": [X | {"name": "z"}]},
        "input 'z' is unknown; the model takes 'x' FP32 [-1, 4]",
    ),
    ("input twice", {"inputs": [X, X]}, "input 'x' appears twice"),
    (
        "wrong datatype",
        {"inputs": [X | {"datatype": "FP64"}]},
        "input 'x' has datatype 'FP64', but the model expects FP32",
    ),
    ("no datatype", {"inputs": [{"name": "x", "shape": [1, 4], "data": []}]}, "expects FP32"),
    ("no shape", {"inputs": [{"name": "x", "datatype": "FP32", "data": []}]}, "input 'x' needs 'shape'"),
    (
        "wrong rank",
        {"inputs": [X | {"shape": [4]}]},
        "input 'x' has shape [4], but the model expects [-1, 4]",
    ),
    (
        "wrong dimension",
        {"inputs": [X | {"shape": [1, 5]}]},
        "has shape [1, 5], but the model expects [-1, 4]",
    ),
    ("negative dimension", {"inputs": [X | {"shape": [-1, 4]}]}, "at least 0"),
    ("float dimension", {"inputs": [X | {"shape": [1.0, 4]}]}, "integer"),
    ("boolean dimension", {"inputs": [X | {"shape": [True, 4]}]}, "integer"),
    ("huge dimension", {"inputs": [X | {"shape": [2**62, 4]}]}, "too large"),
    ("overflowing shape", {"inputs": [X | {"shape": [2**32, 2**32]}]}, "too large"),
    ("many dimensions", {"inputs": [X | {"shape": [1] * 33}]}, "33 dimensions"),
    ("too few values", {"inputs": [X | {"data": [1, 2, 3]}]}, "has 3 values, but shape [1, 4] needs 4"),
    ("no data", {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]}, "neither 'data' nor"),
    ("ragged data", {"inputs": [X | {"data": [[1, 2], [3, 4, 5]]}]}, "rows differ in length"),
    ("mixed nesting", {"inputs": [X | {"data": [[1, 2], 3, 4]}]}, "rows differ in length"),
    ("text for numbers", {"inputs": [X | {"data": [1, 2, 3, "4"]}]}, 'value 3 is "4"'),
    ("null for numbers", {"inputs": [X | {"data": [1, None, 3, 4]}]}, "value 1 is null"),
    ("boolean for numbers", {"inputs": [X | {"data": [1, True, 3, 4]}]}, "a boolean among FP32 values"),
    ("out of range", {"inputs": [X | {"data": [1, 2, 3, 1e39]}]}, "in the range of FP32"),
    ("id no string", {"inputs": [X], "id": 7}, "'id' must be a string"),
    (
        "parameters no object",
        {"inputs": [X], "parameters": []},
        "'parameters' of the request must be an object",
    ),
    (
        "binary flag no boolean",
        {"inputs": [X], "parameters": {"binary_data_output": 1}},
        "must be true or false",
    ),
    ("bad timeout", {"inputs": [X], "parameters": {"timeout": -5}}, "'timeout' must be"),
    ("bad priority", {"inputs": [X], "parameters": {"priority": "high"}}, "'priority' must be"),
    ("timeout no integer", {"inputs": [X], "parameters": {"timeout": 0.0}}, "'timeout' must be"),
    ("outputs no list", {"inputs": [X], "outputs": {}}, "'outputs' must be an array"),
    (
        "unknown output",
        {"inputs": [X], "outputs": [{"name": "q"}]},
        "output 'q' is unknown; the model gives 'y'",
    ),
    ("many outputs", {"inputs": [X], "outputs": [{"name": "y"}] * 100_000}, "100000 outputs are requested"),
    (
        "announced binary without body",
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
            ]
        },
        "announces 16 bytes",
    ),
    (
        "negative binary size",
        {
            "inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": -16}}
            ]
        },
        "at least 0",
    ),
    ("data and binary", {"inputs": [X | {"parameters": {"binary_data_size": 0}}]}, "both 'data' and"),
    ("not json", b"{", "not valid JSON"),
    ("not utf-8", b'{"inputs":"\xff"}', "not valid JSON"),
    ("nan", b'{"inputs":[NaN]}', "must be an object"),
    ("nan for an integer", b'{"inputs":[{"name":"x","datatype":"INT64","shape":[NaN],"data":[1]}]}', "'x'"),
    ("huge integer", b'{"inputs":[' + b"1" * 1_000_000 + b"]}", "not valid JSON"),
    ("deep", b"[" * 100_000, "not valid JSON"),
    ("deep object", b'{"a":' * 100_000, "not valid JSON"),
    ("no object", b"[]", "must be a JSON object"),
    ("empty", b"", "the body is empty"),
    ("duplicate key", b'{"inputs":[],"inputs":[]}', "the key 'inputs' appears twice"),
    (
        "duplicate key deep",
        b'{"inputs":[{"name":"x","shape":[1],"shape":[2]}]}',
        "the key 'shape' appears twice",
    ),
    ("duplicate escaped key", b'{"id":"a:b","i\\u0064":"b"}', "the key 'id' appears twice"),
]


@pytest.mark.parametrize(
    ("body", "part"), [case[1:] for case in BAD_REQUESTS], ids=[c[0] for c in BAD_REQUESTS]
)
def test_infer_bad_request_is_400_with_a_sentence(server: ServerThread, body: object, part: str) -> None:
    answer = server.request("POST", MLP, body)
    assert answer.status == 400
    assert part in error_of(answer)
    assert len(answer.body) < 1000


def test_infer_duplicate_output_is_400(server: ServerThread) -> None:
    answer = server.infer(
        "two",
        [
            tensor("a", "FP32", [1, 2], [1, 2]),
            tensor("b", "FP32", [1, 2], [1, 2]),
            tensor("text", "BYTES", [1], ["t"]),
        ],
        outputs=[{"name": "sum"}, {"name": "sum"}],
    )
    assert (answer.status, error_of(answer)) == (400, "output 'sum' is requested twice")


@pytest.mark.parametrize(
    ("datatype", "whole"), [("INT8", [-1, 0]), ("UINT64", [2**53, 1]), ("BOOL", [True, False])]
)
def test_whole_numbers_may_have_a_decimal_point(
    server: ServerThread, datatype: str, whole: list[int]
) -> None:
    """The Open Inference Protocol's generated client writes every number so."""
    values = [float(value) for value in whole]
    answer = server.infer(f"identity_{datatype}", [tensor("x", datatype, [2], values)])
    assert answer.json()["outputs"][0]["data"] == whole


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT64", [1, 1.5]),
        ("INT64", [1, 2**63]),
        ("UINT8", [1, 256]),
        ("UINT8", [-1, 1]),
        ("INT32", ["1", 2]),
        ("UINT64", [-1, 1]),
        ("FP16", [1, 70000]),
        ("BF16", [1, 3.4e38]),
        ("BOOL", [True, 2]),
        ("BOOL", [True, 0.5]),
        ("INT64", [1.0, 1.5]),
        ("INT64", [1, 2.0**54]),
        ("UINT8", [1, 256.0]),
        ("BYTES", ["a", 1]),
        ("BYTES", ["a", {"b64": "!"}]),
        ("BYTES", ["a", {"b64": "/w=="}]),
        ("BYTES", ["a", {"b64": "YQ==", "c": 1}]),
        ("INT8", [1, True]),
        ("BYTES", ["a", None]),
    ],
)
def test_infer_value_outside_its_datatype_is_400(server: ServerThread, datatype: str, data: object) -> None:
    answer = server.infer(f"identity_{datatype}", [tensor("x", datatype, [2], data)])
    assert answer.status == 400
    assert "input 'x'" in error_of(answer)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "part"),
    [
        ("FP32", [2], bytes(7), "has 7 bytes of binary data, but FP32 [2] needs 8"),
        ("BOOL", [2], b"\x00\x02", "BOOL bytes other than 0 and 1"),
        ("BYTES", [1], struct.pack("<I", 5) + b"abcd", "ends past its data"),
        ("BYTES", [1], struct.pack("<I", 0xFFFFFFFF) + b"abcd", "ends past its data"),
        ("BYTES", [2], struct.pack("<I", 4) + b"abcd", "ends within the length"),
        ("BYTES", [1], struct.pack("<I", 1) + b"abcd", "left over"),
        ("BYTES", [1], b"ab", "too few for 1 BYTES elements"),
        ("BYTES", [10**9], b"abcd", "too few for 1000000000 BYTES elements"),
        ("BYTES", [1], struct.pack("<I", 1) + b"\xff", "not UTF-8"),
    ],
)
def test_infer_inconsistent_binary_data_is_400(
    server: ServerThread, datatype: str, shape: list[int], data: bytes, part: str
) -> None:
    parameters = {"binary_data_size": len(data)}
    head = {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "parameters": parameters}]}
    answer = binary_request(server, f"identity_{datatype}", head, data)
    assert answer.status == 400
    assert part in error_of(answer)


def test_infer_bytes_behind_the_last_input_are_400(server: ServerThread) -> None:
    answer = binary_request(server, "mlp", {"inputs": [X]}, b"1234")
    assert (answer.status, error_of(answer)) == (400, "the body has 4 bytes that belong to no input")


@pytest.mark.parametrize("value", ["-1", "+5", "9" * 30, "1e3", "", "5, 5"])
def test_infer_bad_header_length_is_400(server: ServerThread, value: str) -> None:
    answer = server.request("POST", MLP, b"{}", {"Inference-Header-Content-Length": value})
    assert answer.status == 400
    assert "Inference-Header-Content-Length" in error_of(answer)


def test_infer_input_the_model_refuses_is_400_without_source_paths(server: ServerThread) -> None:
    answer = server.infer("gather", [tensor("x", "INT64", [1], [99])])
    assert answer.status == 400
    assert "out of data bounds" in error_of(answer)
    assert "/" not in error_of(answer).replace("and/or", "")
    assert server.infer("gather", [tensor("x", "INT64", [1], [3])]).json()["outputs"][0]["data"] == [3.0]


def test_infer_run_that_fails_is_500_and_the_server_lives(server: ServerThread) -> None:
    answer = server.infer("pairs", [tensor("x", "FP32", [3], [1, 2, 3])])
    assert answer.status == 500
    assert error_of(answer).startswith("the model failed on this input: ")
    assert "/" not in error_of(answer)
    answer = server.infer("pairs", [tensor("x", "FP32", [4], [1, 2, 3, 4])])
    assert answer.json()["outputs"][0]["shape"] == [2, 2]


def test_infer_giant_output_is_507_and_the_server_lives(server: ServerThread) -> None:
    answer = server.infer("expand", [tensor("x", "INT64", [3], [1_000_000, 1_000_000, 1000])])
    assert answer.status == 507
    assert server.infer("expand", [tensor("x", "INT64", [1], [2])]).json()["outputs"][0]["data"] == [0.0, 0.0]


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/v1",
        "/v2/models/",
        "/v2/models/../mlp",
        "/v2/models/%2e%2e/mlp",
        "/v2/models/mlp%2finfer",
        "/v2/models/mlp/../../../etc/passwd",
        "/v2/models/mlp%00",
        "/v2/models/%ff",
        "/v2//health/live",
        "/v2/models/mlp/versions",
        "/v2/models/mlp/versions/1/1/ready",
        "/v2/models/MLP",
        "/v2/models/mlp/",
        "/v2/models/mlp/versions/1/",
        "/v2/health/live/",
        "/v2/models/" + "a" * 4000,
        "/v2/repository/models/mlp",
    ],
)
def test_unknown_path_is_404(server: ServerThread, path: str) -> None:
    answer = server.request("GET", path)
    assert answer.status == 404
    assert len(error_of(answer)) < 400


def test_wrong_method_is_405_with_allow(server: ServerThread) -> None:
    answer = server.request("GET", MLP)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    answer = server.request("DELETE", "/v2/health/live")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/models/mlp/load",
        "/v2/repository/models/mlp/unload",
        "/v2/systemsharedmemory/register",
        "/v2/systemsharedmemory/region/r/register",
        "/v2/cudasharedmemory/region/r/unregister",
    ],
)
def test_deliberately_missing_parts_are_501(server: ServerThread, path: str) -> None:
    answer = server.request("POST", path)
    assert answer.status == 501
    assert error_of(answer)


@pytest.mark.parametrize("name", ["classification", "shared_memory_region"])
def test_unsupported_output_parameters_are_501(server: ServerThread, name: str) -> None:
    answer = server.infer("mlp", [X], outputs=[{"name": "y", "parameters": {name: 1}}])
    assert answer.status == 501


def test_head_has_the_headers_of_get_and_no_body(server: ServerThread) -> None:
    get, head = server.request("GET", "/v2"), server.request("HEAD", "/v2")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))


def test_error_text_cannot_break_out_of_json(server: ServerThread) -> None:
    name = 'x"}\n<script>'
    answer = server.infer("mlp", [X | {"name": name}])
    assert repr(name) in error_of(answer)


def test_concurrent_requests_share_a_batch_and_get_their_own_answers(model_files: dict[str, Path]) -> None:
    lane = LaneSettings(max_batch_size=4, max_delay_seconds=30.0, inline_below_seconds=0.0)
    with ServerThread({"mlp": model_files["mlp"]}, lane=lane) as batching, ThreadPoolExecutor(4) as clients:
        assert batching.request("GET", "/v2/models/mlp/config").json()["max_batch_size"] == 4
        requests = [[tensor("x", "FP32", [1, 4], [number] * 4)] for number in range(4)]
        together = list(clients.map(lambda inputs: batching.infer("mlp", inputs), requests))
        stats = batching.request("GET", "/v2/models/mlp/stats").json()["model_stats"][0]
        assert (stats["inference_count"], stats["execution_count"]) == (4, 1)
        assert stats["batch_stats"][0]["batch_size"] == 4
        everything = [tensor("x", "FP32", [4, 4], [[number] * 4 for number in range(4)])]
        alone = batching.infer("mlp", everything).json()["outputs"][0]["data"]
    answers = [value for answer in together for value in answer.json()["outputs"][0]["data"]]
    assert answers == pytest.approx(alone, rel=1e-5)
