"""Embeddings and rankings by graphs that take tokens, with a tokenizer.json beside them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime.busy_threads import Busy
from tests.unit.runtime.onnx_models import value
from tests.unit.runtime.protocols.openai.test_vectors import save
from tests.unit.runtime.server_thread import ServerThread
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.text_inputs import load_text_inputs
from modelservice_runtime.tensors import DATATYPES, TensorSpec

VOCABULARY = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "cat": 4, "dog": 5, "bird": 6}
# No state is 0, that of padding least of all: who counts it finds another vector.
STATES = np.float32([[9, 9], [1, 0], [0, 1], [3, 3], [5, 1], [1, 5], [-2, 4]])
MEAN = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "word_embedding_dimension": 2}


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


def save_states(folder: Path, files: dict[str, object], width: int | str = 2) -> Path:
    """Every token's state is a row of `STATES`, whatever stands beside it."""
    folder.mkdir()
    nodes = [
        helper.make_node("Gather", ["states", "input_ids"], ["known"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["column", "nothing"], ["zero"]),
        helper.make_node("Add", ["known", "zero"], ["last_hidden_state"]),
    ]
    weights = {"states": STATES, "last": np.array([2]), "nothing": np.float32(0)}
    inputs = [value(name, "INT64", ["n", "s"]) for name in ("input_ids", "attention_mask")]
    save(
        folder / "model.onnx", nodes, inputs, [value("last_hidden_state", "FP32", ["n", "s", width])], weights
    )
    write_tokenizer(folder)
    write(folder, files)
    return folder / "model.onnx"


def save_cross(folder: Path, files: dict[str, object]) -> Path:
    """The score counts what is of the second text, its end too, and takes away the number of tokens."""
    folder.mkdir()
    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        helper.make_node("Mul", ["input_ids", "token_type_ids"], ["second"]),
        helper.make_node("ReduceSum", ["second", "one"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["count"], keepdims=1),
        helper.make_node("Sub", ["sum", "count"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["logits"], to=TensorProto.FLOAT),
    ]
    inputs = [value(name, "INT64", ["n", "s"]) for name in names]
    save(folder / "model.onnx", nodes, inputs, [value("logits", "FP32", ["n", 1])], {"one": np.array([1])})
    write_tokenizer(folder)
    write(folder, files)
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("tokens")
    unit = [{"type": "sentence_transformers.models.Normalize"}]
    saved = {
        "mean": save_states(folder / "mean", {"1_Pooling/config.json": MEAN}),
        "short": save_states(
            folder / "short",
            {"1_Pooling/config.json": MEAN, "sentence_bert_config.json": {"max_seq_length": 3}},
        ),
        "first": save_states(folder / "first", {"1_Pooling/config.json": {"pooling_mode": "cls"}}),
        "last": save_states(folder / "last", {"1_Pooling/config.json": {"pooling_mode_lasttoken": True}}),
        "max": save_states(folder / "max", {"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}),
        "unit": save_states(folder / "unit", {"1_Pooling/config.json": MEAN, "modules.json": unit}),
        "open": save_states(folder / "open", {"1_Pooling/config.json": MEAN}, "width"),
        "silent": save_states(folder / "silent", {}),
        "cross": save_cross(folder / "cross", {}),
        # As cross-encoder/ms-marco-MiniLM-L-6-v2 has it, and as newer sentence-transformers write it.
        "raw": save_cross(
            folder / "raw",
            {"config.json": {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}},
        ),
        "tanh": save_cross(
            folder / "tanh",
            {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}},
        ),
    }
    with ServerThread(saved) as server:
        yield server


def embed(server: ServerThread, model: str, texts: object) -> tuple[list[list[float]], dict[str, int]]:
    answer = server.request("POST", "/v1/embeddings", {"model": model, "input": texts})
    assert answer.status == 200, answer.json()
    document: dict[str, Any] = answer.json()
    return [entry["embedding"] for entry in document["data"]], document["usage"]


def states(*words: str) -> np.ndarray[Any, Any]:
    return STATES[[VOCABULARY[word] for word in ("[CLS]", *words, "[SEP]")]]


def test_padding_counts_for_nobody(tokens: ServerThread) -> None:
    """Texts of other lengths in one request: each has the vector that it has alone."""
    texts = {"cat dog bird cat": ("cat", "dog", "bird", "cat"), "dog": ("dog",), "": (), "fish": ("[UNK]",)}
    vectors, usage = embed(tokens, "mean", list(texts))
    np.testing.assert_allclose(vectors, [states(*words).mean(axis=0) for words in texts.values()], rtol=1e-6)
    assert usage == {"prompt_tokens": 6 + 3 + 2 + 3, "total_tokens": 14}
    assert embed(tokens, "mean", "dog")[0] == [vectors[1]]


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("first", STATES[1]),
        ("last", STATES[2]),
        ("max", [5, 5]),
        ("unit", states("cat", "dog").mean(axis=0) / np.linalg.norm(states("cat", "dog").mean(axis=0))),
        ("short", states("cat").mean(axis=0)),
    ],
)
def test_states_become_a_vector_as_the_files_say(tokens: ServerThread, model: str, wanted: Any) -> None:
    vectors, _ = embed(tokens, model, ["bird bird bird bird", "cat dog"])
    np.testing.assert_allclose(vectors[1], wanted, rtol=1e-6)


@pytest.mark.parametrize("model", ["mean", "open"])
@pytest.mark.parametrize(("dimensions", "status"), [(2, 200), (3, 400)])
def test_dimensions_may_be_the_models_own_only(
    tokens: ServerThread, model: str, dimensions: int, status: int
) -> None:
    body = {"model": model, "input": "cat", "dimensions": dimensions}
    answer = tokens.request("POST", "/v1/embeddings", body)
    assert answer.status == status
    if status == 400:
        assert answer.json()["error"]["param"] == "dimensions"
        assert "2 numbers" in answer.json()["error"]["message"]


def test_many_texts_keep_their_order(tokens: ServerThread) -> None:
    vectors, _ = embed(tokens, "mean", ["cat", "dog dog"] * 1024)
    np.testing.assert_allclose(vectors[-2:], [states("cat").mean(axis=0), states("dog", "dog").mean(axis=0)])
    assert len(vectors) == 2048


def test_a_long_text_makes_no_short_one_longer(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    found = load_text_inputs(spec_of(VECTOR), tmp_path)
    assert found is not None
    tokens = found.read(["cat " * 400, *["dog"] * 900])
    assert tokens.count == 402 + 900 * 3
    assert sum(group.inputs["input_ids"].size for group in tokens.groups) == tokens.count
    assert max(group.inputs["input_ids"].size for group in tokens.groups) <= 2048


@pytest.mark.parametrize("model", ["mean", "last"])
def test_texts_of_any_lengths_have_the_vectors_that_they_have_alone(tokens: ServerThread, model: str) -> None:
    texts = ["bird " * 400, "dog", "", *["cat dog"] * 500, "cat " * 300, "bird cat"]
    vectors, usage = embed(tokens, model, texts)
    for place in (0, 1, 2, 3, 502, 503, 504):
        np.testing.assert_allclose(vectors[place], embed(tokens, model, texts[place])[0][0], rtol=1e-5)
    assert usage["total_tokens"] == 402 + 3 + 2 + 500 * 4 + 302 + 4


def test_texts_are_read_while_others_large_tensors_are(tokens: ServerThread, busy: Busy) -> None:
    vectors, _ = embed(tokens, "mean", ["cat"])
    np.testing.assert_allclose(vectors, [states("cat").mean(axis=0)])
    assert not busy.gate.is_set()


def test_vectors_and_pairs_rank(tokens: ServerThread) -> None:
    documents = ["bird", "cat dog", "cat"]
    by_vectors = tokens.request(
        "POST", "/v1/rerank", {"model": "mean", "query": "cat", "documents": documents}
    )
    assert [one["index"] for one in by_vectors.json()["results"]] == [2, 1, 0]
    assert by_vectors.json()["usage"]["total_tokens"] == 3 + 3 + 4 + 3
    assert rank(tokens, "raw", documents) == [(1, 5), (0, 3), (2, 1)]


def rank(server: ServerThread, model: str, documents: list[str]) -> list[tuple[int, float]]:
    """The score is that of the graph: the numbers of a document's tokens and of its end less all tokens."""
    body = {"model": model, "query": "cat", "documents": documents}
    results = server.request("POST", "/v1/rerank", body).json()["results"]
    return [(one["index"], one["relevance_score"]) for one in results]


@pytest.mark.parametrize(
    ("model", "activation"),
    [("cross", lambda score: 1 / (1 + np.exp(-score))), ("tanh", np.tanh), ("raw", np.positive)],
)
def test_scores_go_through_the_activation_that_the_model_names(
    tokens: ServerThread, model: str, activation: Any
) -> None:
    (first, score), (second, other) = rank(tokens, model, ["", "bird"])
    assert (first, second) == (1, 0)
    assert [score, other] == pytest.approx([activation(3), activation(-2)], rel=1e-6)


def test_scores_that_look_equal_keep_the_order_of_the_graphs(tokens: ServerThread) -> None:
    """A sigmoid of 54 and of 104 is 1."""
    (first, score), (second, other) = rank(tokens, "cross", ["bird " * 10 + "cat", "bird " * 20 + "cat"])
    assert (first, second, score, other) == (1, 0, 1, 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "silent", "input": "cat"}),
        ("/v1/embeddings", {"model": "cross", "input": "cat"}),
        ("/v1/rerank", {"model": "silent", "query": "cat", "documents": ["dog"]}),
    ],
)
def test_models_without_a_way_are_refused(tokens: ServerThread, path: str, body: object) -> None:
    answer = tokens.request("POST", path, body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, "model")
    assert "tokenizer.json beside a graph" in answer.json()["error"]["message"]


def test_tensors_are_served_as_before(tokens: ServerThread) -> None:
    inputs = [
        {"name": name, "datatype": "INT64", "shape": [1, 2], "data": [4, 1]}
        for name in ("input_ids", "attention_mask")
    ]
    answer = tokens.infer("silent", inputs)
    assert answer.status == 200
    assert answer.json()["outputs"][0]["shape"] == [1, 2, 2]


def spec_of(*outputs: TensorSpec, ids: str = "INT64") -> ModelSpec:
    inputs = tuple(TensorSpec(name, DATATYPES[ids], (-1, -1)) for name in ("input_ids", "attention_mask"))
    return ModelSpec("m", "1", inputs, outputs)


SCORE = TensorSpec("logits", DATATYPES["FP32"], (-1, 1))
VECTOR = TensorSpec("sentence_embedding", DATATYPES["FP32"], (-1, 8))
TOKENS = TensorSpec("token_embeddings", DATATYPES["FP32"], (-1, -1, 8))


def test_a_vector_of_the_graph_needs_no_pooling(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    found = load_text_inputs(spec_of(TOKENS, VECTOR), tmp_path)
    assert found is not None
    assert (found.told.output, found.told.pool, found.width) == (VECTOR, None, 8)
    assert load_text_inputs(spec_of(VECTOR, ids="FP32"), tmp_path) is None
    wide = ModelSpec(
        "m", "1", (*spec_of(VECTOR).inputs, TensorSpec("x", DATATYPES["INT64"], (-1, -1))), (VECTOR,)
    )
    assert load_text_inputs(wide, tmp_path) is None


@pytest.mark.parametrize(("folder", "is_read"), [("onnx", True), ("other", False)])
def test_an_exporters_folder_has_the_tokenizer_above_the_graph(
    tmp_path: Path, folder: str, is_read: bool
) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / folder).mkdir()
    graph = tmp_path / folder / "model_quantized.onnx"
    graph.touch()
    for path in (graph, graph.parent):
        assert (load_text_inputs(spec_of(VECTOR), path) is not None) == is_read


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"1_Pooling/config.json": {}}, "says nothing of how"),
        ({"1_Pooling/config.json": {"pooling_mode": "weightedmean"}}, "weightedmean"),
        ({"1_Pooling/config.json": {**MEAN, "pooling_mode_max_tokens": True}}, "pooling_mode_max_tokens"),
        ({"1_Pooling/config.json": []}, "not a JSON object"),
        ({"1_Pooling/config.json": MEAN, "modules.json": [{"type": "a.Dense"}]}, "Dense"),
        ({"1_Pooling/config.json": MEAN, "tokenizer.json": {"model": "none"}}, "tokenizer.json"),
    ],
)
def test_files_that_cannot_be_used_are_told_and_tensors_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: dict[str, object], word: str
) -> None:
    write_tokenizer(tmp_path)
    write(tmp_path, files)
    assert load_text_inputs(spec_of(TOKENS), tmp_path) is None
    (record,) = caplog.records
    assert word in record.__dict__["error"]


def test_an_activation_that_is_not_known_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tokenizer(tmp_path)
    write(tmp_path, {"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.Softplus"}}})
    assert load_text_inputs(spec_of(SCORE), tmp_path) is None
    assert "config.json names torch.nn.Softplus" in caplog.records[0].__dict__["error"]
