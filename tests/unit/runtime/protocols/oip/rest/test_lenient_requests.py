"""What clients of other servers send: null for what is absent, own parameters, NaN and infinities."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.json_tokens import decode_object_with_tokens

X: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
TEXTS_AND_NUMBERS = st.text() | st.floats() | st.integers(-(2**53), 2**53) | st.booleans() | st.none()

UNKNOWN = [None, [], [1, [2]], {}, {"a": {"b": None}}, "text", 1, 1.5, True]


@pytest.mark.parametrize("value", UNKNOWN)
@pytest.mark.parametrize("name", ["own", "headers", "content_type", "sequence_id"])
def test_parameter_that_the_server_does_not_know_is_ignored(
    server: ServerThread, name: str, value: object
) -> None:
    own = {name: value}
    answer = server.infer("mlp", [X | {"parameters": own}], parameters=own, outputs=[{"name": "y", **P(own)}])
    assert answer.status == 200, answer.body


def P(parameters: object) -> dict[str, object]:  # noqa: N802 - reads like the member that it makes
    return {"parameters": parameters}


@pytest.mark.parametrize(
    "members",
    [
        {"id": None},
        {"parameters": None},
        {"outputs": None},
        {"outputs": [{"name": "y", "parameters": None}]},
        *[P({name: None}) for name in ("timeout", "priority", "binary_data_output")],
        *[
            {"outputs": [{"name": "y", **P({name: None})}]}
            for name in ("binary_data", "classification", "shared_memory_region")
        ],
        *[
            {"inputs": [X | P({name: None})]}
            for name in ("binary_data_size", "shared_memory_region", "shared_memory_offset")
        ],
        {"inputs": [X | P(None)]},
    ],
)
def test_member_that_is_null_counts_as_absent(server: ServerThread, members: dict[str, Any]) -> None:
    plain = server.request("POST", "/v2/models/mlp/infer", {"inputs": [X]}).json()
    answer = server.request("POST", "/v2/models/mlp/infer", {"inputs": [X], **members})
    assert (answer.status, answer.json()) == (200, plain)


def test_data_that_is_null_beside_binary_data_counts_as_absent(server: ServerThread) -> None:
    entry = {**X, "data": None, **P({"binary_data_size": 16})}
    head = json.dumps({"inputs": [entry]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    binary = np.array(X["data"], np.float32).tobytes()
    assert server.request("POST", "/v2/models/mlp/infer", head + binary, headers).status == 200
    assert server.infer("mlp", [{**X, "data": None}]).status == 400


@pytest.mark.parametrize(
    "members",
    [
        {"id": 7},
        {"parameters": []},
        {"outputs": {}},
        P({"timeout": "5"}),
        P({"priority": []}),
        P({"binary_data_output": 1}),
        {"inputs": [X | P([])]},
        {"inputs": [X | P({"binary_data_size": "16"})]},
        {"outputs": [{"name": "y", **P({"binary_data": {}})}]},
    ],
)
def test_known_member_of_the_wrong_type_is_400(server: ServerThread, members: dict[str, Any]) -> None:
    assert server.request("POST", "/v2/models/mlp/infer", {"inputs": [X], **members}).status == 400


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("predict", {"instances": [[1, 2, 3, 4]], "signature_name": None, "inputs": None}),
        ("predict", {"inputs": [[1, 2, 3, 4]], "signature_name": None, "instances": None}),
        ("classify", {"examples": [{"x": [1, 2, 3, 4]}], "context": None, "signature_name": None}),
    ],
)
def test_member_of_tensorflow_serving_that_is_null_counts_as_absent(
    server: ServerThread, verb: str, body: dict[str, Any]
) -> None:
    assert server.request("POST", f"/v1/models/mlp:{verb}", body).status == 200


@pytest.mark.parametrize("body", [{"instances": None}, {"instances": None, "inputs": None}, {}])
def test_predict_of_nothing_is_400(server: ServerThread, body: dict[str, Any]) -> None:
    assert server.request("POST", "/v1/models/mlp:predict", body).status == 400


@pytest.mark.parametrize("name", [0, False, [], {}])
def test_signature_name_of_the_wrong_type_is_400(server: ServerThread, name: object) -> None:
    body = {"instances": [[1, 2, 3, 4]], "signature_name": name}
    assert server.request("POST", "/v1/models/mlp:predict", body).status == 400


def test_index_takes_null_for_ready(server: ServerThread) -> None:
    everything = server.request("POST", "/v2/repository/index", {}).json()
    assert server.request("POST", "/v2/repository/index", {"ready": None}).json() == everything


WORDS = {
    "NaN": math.nan, "-NaN": math.nan, "Inf": math.inf, "Infinity": math.inf, "-Inf": -math.inf,
    "-Infinity": -math.inf,
}  # fmt: skip


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("word", WORDS)
def test_words_for_nan_and_infinities_are_read_and_written(
    server: ServerThread, datatype: str, word: str
) -> None:
    model, given = f"identity_{datatype}", f"[1.5, {word},{word} ,-2]"
    tensor = f'{{"name":"x","datatype":"{datatype}","shape":[4],"data":{given}}}'
    answers = [
        server.request("POST", f"/v2/models/{model}/infer", f'{{"inputs":[{tensor}]}}'.encode()),
        server.request("POST", f"/v1/models/{model}:predict", f'{{"instances":{given}}}'.encode()),
        server.request("POST", f"/v1/models/{model}:predict", f'{{"inputs":{given}}}'.encode()),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200], answers
    found = [answers[0].json()["outputs"][0]["data"], answers[1].json()["predictions"]]
    for values in [*found, answers[2].json()["outputs"]]:
        assert np.array_equal(values, [1.5, WORDS[word], WORDS[word], -2], equal_nan=True)
    assert all(b"null" not in answer.body for answer in answers)


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "BOOL", "BYTES"])
@pytest.mark.parametrize("word", WORDS)
def test_word_for_what_no_float_is_400(server: ServerThread, datatype: str, word: str) -> None:
    tensor = f'{{"name":"x","datatype":"{datatype}","shape":[1],"data":[{word}]}}'
    path = f"/v2/models/identity_{datatype}/infer"
    answer = server.request("POST", path, f'{{"inputs":[{tensor}]}}'.encode())
    assert (answer.status, "input 'x'" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("count", [3, 50_000])
def test_tritons_client_sends_and_gets_nan(server: ServerThread, count: int) -> None:
    values = np.full((count, 2), np.nan, np.float32)
    values[0] = np.inf, -np.inf
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        given = triton.InferInput("x", values.shape, "FP32")
        given.set_data_from_numpy(values, binary_data=False)
        wanted = [triton.InferRequestedOutput("y", binary_data=False)]
        found = client.infer("any", [given], outputs=wanted).as_numpy("y")
    assert np.array_equal(found, values, equal_nan=True)


def test_words_stay_as_they_are_within_texts(server: ServerThread) -> None:
    texts = ["Inf", "-NaN", 'a "NaN" \\', "Infinity", "\\"]
    values = {"name": "text", "datatype": "BYTES", "shape": [5], "data": texts}
    sums = [
        {"name": name, "datatype": "FP32", "shape": [5, 2], "data": [math.inf] * 10} for name in ("a", "b")
    ]
    body = json.dumps({"inputs": [*sums, values], "id": "-NaN Inf"}).replace("Infinity,", "Inf,").encode()
    answer = server.request("POST", "/v2/models/two/infer", body).json()
    assert answer["id"] == "-NaN Inf"
    assert {output["name"]: output["data"] for output in answer["outputs"]}["copy"] == texts


@given(st.recursive(TEXTS_AND_NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_document_with_words_is_read_as_pythons_parser_reads_it(value: object) -> None:
    document = {"a": value, "b": [math.nan, math.inf, -math.inf]}
    text = json.dumps(document)
    assert repr(decode_object_with_tokens(text.encode())) == repr(json.loads(text))


@given(st.text('NaInfity-,[]{}" \\:1e', max_size=20))
def test_any_text_is_read_as_an_object_or_refused(text: str) -> None:
    try:
        document = decode_object_with_tokens(f'{{"a":{text}}}'.encode())
    except InvalidRequestError:
        return
    assert "a" in document


def test_lists_name_the_models_that_answer(model_files: dict[str, Path]) -> None:
    files = {name: model_files[name] for name in ("mlp", "text")}
    with ServerThread(files) as server:
        for path in ("/v1/models", "/v2/models", "/v2/models?x"):
            assert server.request("GET", path).json()["models"] == ["mlp", "text"]
        later = server.load("mlp", model_files["mlp"], "2")
        server.loop.call_soon_threadsafe(server.table.publish, later)
        server.loop.call_soon_threadsafe(server.table.retire, "text", "1")
        assert server.request("GET", "/v1/models").json()["models"] == ["mlp"]
        assert server.request("POST", "/v2/models", {}).status == 405
