"""Embeddings and rankings, by graphs that read texts."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openai
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime import onnx_models
from tests.unit.runtime.onnx_models import value
from tests.unit.runtime.protocols.openai.conftest import PATIENCE_SECONDS
from tests.unit.runtime.protocols.openai.played_model import make_model
from tests.unit.runtime.server_thread import ServerThread

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.openai.vectors.signatures import find_cross_encoder, find_encoder
from modelservice_runtime.tensors import DATATYPES, TensorSpec

# A text's vector says which of these words it is, before a constant.
WORDS = ["cat", "dog", "Maus 🐭"]


def save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]
) -> Path:
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def save_encoder(path: Path, width: int | str = 3) -> Path:
    nodes = [
        helper.make_node("Unsqueeze", ["text", "last"], ["column"]),
        helper.make_node("Equal", ["column", "words"], ["same"]),
        helper.make_node("Cast", ["same"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["number", "constant"], ["embedding"]),
    ]
    weights = {
        "last": np.array([1]), "words": np.array([WORDS], object), "constant": np.float32([[0, 0.25, 0]]),
    }  # fmt: skip
    inputs, outputs = [value("text", "BYTES", ["n"])], [value("embedding", "FP32", ["n", width])]
    return save(path, nodes, inputs, outputs, weights)


def save_logarithms(path: Path) -> Path:
    """A vector of one number: 0 for a cat, and minus infinity for others."""
    nodes = [
        helper.make_node("Unsqueeze", ["text", "last"], ["column"]),
        helper.make_node("Equal", ["column", "words"], ["same"]),
        helper.make_node("Cast", ["same"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Log", ["number"], ["embedding"]),
    ]
    weights = {"last": np.array([1]), "words": np.array([["cat"]], object)}
    return save(path, nodes, [value("text", "BYTES", ["n"])], [value("embedding", "FP32", ["n", 1])], weights)


def save_cross_encoder(path: Path) -> Path:
    nodes = [
        helper.make_node("Equal", ["document", "query"], ["same"]),
        helper.make_node("Cast", ["same"], ["score"], to=TensorProto.FLOAT),
    ]
    inputs = [value("document", "BYTES", ["n"]), value("query", "BYTES", ["n"])]
    return save(path, nodes, inputs, [value("score", "FP32", ["n"])], {})


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("vectors")
    models = {
        "encoder": save_encoder(folder / "encoder.onnx"),
        "open": save_encoder(folder / "open.onnx", "width"),
        "cross": save_cross_encoder(folder / "cross.onnx"),
        "log": save_logarithms(folder / "log.onnx"),
        "mlp": onnx_models.save_mlp(folder / "mlp.onnx"),
    }
    chat = make_model()
    with ServerThread(models, publish=lambda server: server.table.publish_generative(chat)) as server:
        yield server


@pytest.fixture(scope="module")
def client(vectors: ServerThread) -> Iterator[openai.OpenAI]:
    url = f"http://127.0.0.1:{vectors.port}/v1"
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=PATIENCE_SECONDS) as opened:
        yield opened


def test_one_text_and_several_keep_their_order(client: openai.OpenAI) -> None:
    one = client.embeddings.create(model="encoder", input="dog")
    assert [(entry.index, entry.object, entry.embedding) for entry in one.data] == [
        (0, "embedding", [0, 1.25, 0])
    ]
    assert (one.object, one.model, one.usage.total_tokens) == ("list", "encoder", 0)
    several = client.embeddings.create(model="encoder", input=["Maus 🐭", "cat", ""])
    assert [entry.embedding for entry in several.data] == [[0, 0.25, 1], [1, 0.25, 0], [0, 0.25, 0]]


def test_numbers_and_base64_are_the_same(vectors: ServerThread, client: openai.OpenAI) -> None:
    body = {"model": "encoder", "input": ["cat"], "encoding_format": "base64", "dimensions": 3}
    coded = vectors.request("POST", "/openai/v1/embeddings", body).json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == [1, 0.25, 0]
    plain = client.embeddings.create(model="encoder", input=["cat"], encoding_format="float")
    assert plain.data[0].embedding == [1, 0.25, 0]


def test_the_width_that_a_graph_leaves_open_is_what_it_gives(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="open", input="dog", dimensions=3)
    assert answer.data[0].embedding == [0, 1.25, 0]


def test_a_long_text_runs_apart_from_short_ones(vectors: ServerThread) -> None:
    """A graph that makes tokens itself pads its texts to the longest, too."""
    (handle,) = [one for one in vectors.table.handles() if one.name == "encoder"]
    before = handle.statistics.request_count, handle.statistics.execution_count
    texts = ["a" * 9000, *["cat", "dog"] * 500, "Maus 🐭"]
    answer = vectors.request("POST", "/v1/embeddings", {"model": "encoder", "input": texts}).json()
    got = [entry["embedding"] for entry in answer["data"]]
    assert got == [[0, 0.25, 0], *[[1, 0.25, 0], [0, 1.25, 0]] * 500, [0, 0.25, 1]]
    after = handle.statistics.request_count, handle.statistics.execution_count
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2)
    body = {"model": "cross", "query": "cat", "documents": ["a" * 9000, "dog", "cat"]}
    ranked = vectors.request("POST", "/v1/rerank", body).json()["results"]
    assert [one["index"] for one in ranked] == [2, 0, 1]


def test_many_texts_at_once(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="encoder", input=["cat", "dog"] * 1024)
    assert [entry.embedding for entry in answer.data[-2:]] == [[1, 0.25, 0], [0, 1.25, 0]]
    assert len(answer.data) == 2048


@pytest.mark.parametrize(
    ("fields", "param", "word"),
    [
        ({"input": None}, "input", "missing"),
        ({"input": []}, "input", "at least one"),
        ({"input": ["a"] * 2049}, "input", "2048"),
        ({"input": [1, 2]}, "input", "check_embedding_ctx_length=False"),
        ({"input": [[1, 2]]}, "input", "check_embedding_ctx_length=False"),
        ({"input": ["a", 1]}, "input", "list of strings"),
        ({"dimensions": 2}, "dimensions", "3 numbers"),
        ({"model": "open", "dimensions": 2}, "dimensions", "3 numbers"),
        ({"model": "open", "dimensions": 2, "input": ["a"] * 2048}, "dimensions", "3 numbers"),
        ({"encoding_format": "hex"}, "encoding_format", "base64"),
        ({"model": "mlp"}, "model", "no embeddings"),
        ({"model": "chat"}, "model", "generates text"),
        ({"model": "cross"}, "model", "no embeddings"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    vectors: ServerThread, fields: dict[str, Any], param: str, word: str
) -> None:
    answer = vectors.request("POST", "/v1/embeddings", {"model": "encoder", "input": "a", **fields})
    error = answer.json()["error"]
    assert (answer.status, error["param"]) == (400, param)
    assert word in error["message"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/embeddings", {"input": ["cat", "dog"]}),
        ("/v1/embeddings", {"input": ["cat", "dog"], "encoding_format": "base64"}),
        ("/v1/embeddings", {"input": ["cat", "dog"] * 1024}),
        ("/v1/rerank", {"query": "cat", "documents": ["dog"]}),
    ],
)
def test_what_is_no_number_is_an_error_and_no_null(
    vectors: ServerThread, path: str, asked: dict[str, Any]
) -> None:
    answer = vectors.request("POST", path, {"model": "log", **asked})
    assert (answer.status, "infinity for text 2 of" in answer.json()["error"]["message"]) == (500, True)
    assert vectors.request("POST", "/v1/embeddings", {"model": "log", "input": "cat"}).status == 200


def test_models_that_read_texts_are_listed(vectors: ServerThread, client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {"encoder", "cross"} <= listed
    assert "mlp" not in listed
    assert client.models.retrieve("encoder").id == "encoder"
    status = vectors.request("GET", "/v1/models/encoder").json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"


@pytest.mark.parametrize("name", ["encoder", "cross", "chat"])
def test_a_model_is_shown_as_it_is_listed(vectors: ServerThread, name: str) -> None:
    (listed,) = [one for one in vectors.request("GET", "/v1/models").json()["data"] if one["id"] == name]
    answer = vectors.request("GET", f"/openai/v1/models/{name}")
    assert (answer.status, answer.json()) == (200, listed)


@pytest.mark.parametrize("name", ["mlp", "none"])
def test_a_model_that_is_not_listed_is_not_shown(vectors: ServerThread, name: str) -> None:
    answer = vectors.request("GET", f"/openai/v1/models/{name}")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="none", input="a")
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize("model", ["encoder", "cross"])
def test_documents_are_ranked(vectors: ServerThread, model: str) -> None:
    body = {"model": model, "query": "dog", "documents": ["cat", {"text": "dog"}, "bird"]}
    answer = vectors.request("POST", "/v1/rerank", body).json()
    assert answer["model"] == model
    assert answer["results"][0]["index"] == 1
    assert answer["results"][0]["document"] == {"text": "dog"}
    assert answer["results"][0]["relevance_score"] == pytest.approx(1, abs=1e-6)
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    cats = vectors.request("POST", "/v1/rerank", {**body, "query": "cat"}).json()["results"]
    assert cats[0]["relevance_score"] == 1  # whose vectors' product is 1.0000001
    short = vectors.request("POST", "/v2/rerank", {**body, "top_n": 1, "return_documents": False}).json()
    assert [sorted(one) for one in short["results"]] == [["index", "relevance_score"]]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"query": ""}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": [1]}, "documents[0]"),
        ({"documents": ["a"] * 1025}, "documents"),
        ({"top_n": 0}, "top_n"),
        ({"model": "mlp"}, "model"),
        ({"model": "chat"}, "model"),
    ],
)
def test_what_cannot_be_ranked_is_refused(vectors: ServerThread, fields: dict[str, Any], param: str) -> None:
    body = {"model": "cross", "query": "a", "documents": ["a"], **fields}
    answer = vectors.request("POST", "/v1/rerank", body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


def tensor(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, DATATYPES[datatype], shape)


def test_scores_of_classes_are_no_vector_and_one_text_no_pair() -> None:
    text, scores = tensor("text", "BYTES", -1), tensor("probabilities", "FP32", -1, 2)
    assert find_encoder(ModelSpec("m", "1", (text,), (scores,))) is None
    assert find_cross_encoder(ModelSpec("m", "1", (text,), (scores,))) is None
    wide = tensor("y", "FP16", -1, 384)
    found = find_encoder(ModelSpec("m", "1", (text,), (wide,)))
    assert found is not None
    assert found.width == 384
    named = tensor("sentence_embedding", "FP32", -1, -1)
    both = find_encoder(ModelSpec("m", "1", (text,), (tensor("states", "FP32", -1, 8), named)))
    assert both is not None
    assert both.vector is named
