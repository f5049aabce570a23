"""The exported graph against the plain Python that it must equal, in ONNX Runtime."""

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from spam.export import (
    PARITY_TOLERANCE,
    ParityError,
    Predictions,
    TrainedModel,
    build_onnx,
    compute_parity,
)
from spam.text import TOKEN_PATTERNS, count_features, lower, tokenize

from modelservice_runtime.onnx.rows import prove_rows

VOCABULARY = ("a", "call", "claim", "cash!", "hello", "£100", "ß", "über")
HIDDEN = 3


def make_model(threshold: float = 0.5) -> TrainedModel:
    generator = np.random.default_rng(3)
    features = len(VOCABULARY) + len(TOKEN_PATTERNS)

    def draw(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    return TrainedModel(
        vocabulary=VOCABULARY,
        hidden_weight=draw(HIDDEN, features),
        hidden_bias=draw(HIDDEN),
        output_weight=draw(1, HIDDEN),
        output_bias=draw(1),
        threshold=threshold,
        norm_epsilon=1e-6,
    )


def expected_probability(model: TrainedModel, texts: list[str]) -> np.ndarray:
    scaled = np.log(count_features(texts, model.vocabulary) + 1)
    unit = scaled / (np.linalg.norm(scaled, axis=1, keepdims=True) + model.norm_epsilon)
    hidden = np.maximum(unit @ model.hidden_weight.T + model.hidden_bias, 0)
    logit = hidden @ model.output_weight.T + model.output_bias
    return np.array([1 / (1 + math.exp(-value)) for value in logit[:, 0]], dtype=np.float32)


def expose(model_bytes: bytes, name: str, kind: int) -> ort.InferenceSession:
    """Open the graph with one of its inner values as a further output."""
    proto = onnx.load_from_string(model_bytes)
    proto.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def model_bytes() -> bytes:
    return build_onnx(make_model(), {"task": "test"})


@pytest.fixture(scope="module")
def run_counts(model_bytes: bytes) -> Callable[[list[str]], np.ndarray]:
    session = expose(model_bytes, "counts", onnx.TensorProto.FLOAT)
    return lambda texts: session.run(["counts"], {"text": np.array(texts, dtype=object)})[0]


@pytest.fixture(scope="module")
def run_tokens(model_bytes: bytes) -> Callable[[list[str]], np.ndarray]:
    session = expose(model_bytes, "tokens", onnx.TensorProto.STRING)
    return lambda texts: session.run(["tokens"], {"text": np.array(texts, dtype=object)})[0]


@pytest.fixture(scope="module")
def run_model(model_bytes: bytes) -> Callable[[list[str]], list[np.ndarray]]:
    session = ort.InferenceSession(model_bytes, providers=["CPUExecutionProvider"])
    return lambda texts: session.run(["label", "probability"], {"text": np.array(texts, dtype=object)})


# NUL ends a C string inside ONNX Runtime's Python binding, surrogates are not UTF-8: neither is a message.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
words = st.sampled_from([*VOCABULARY, "CALL", "08001234567", "www.x.co", "WIN!!", "\r\n", "\t", "  ", "É"])
messages = st.one_of(st.text(characters, max_size=60), st.lists(words, max_size=12).map(" ".join))


@given(texts=st.lists(messages, min_size=1, max_size=6))
def test_graph_random_batch_tokens_equal_python(run_tokens, texts):
    rows = [[token for token in row if token] for row in run_tokens(texts).tolist()]
    assert rows == [tokenize(text) for text in texts]


@given(texts=st.lists(messages, min_size=1, max_size=6))
def test_graph_random_batch_counts_equal_python(run_counts, texts):
    np.testing.assert_array_equal(run_counts(texts), count_features(texts, VOCABULARY))


def test_lower_every_cased_letter_equals_string_normalizer(model_bytes):
    points = [chr(c) for c in range(1, 0x1F000) if not 0xD800 <= c < 0xE000]
    session = expose(model_bytes, "split_0", onnx.TensorProto.STRING)
    got = session.run(["split_0"], {"text": np.array(["x" + char for char in points], dtype=object)})[0]
    # The operating system's Unicode tables may be older or newer than Python's by some rare letters.
    different = [char for char, value in zip(points, got, strict=True) if value != "x" + lower(char)]
    assert [char for char in different if ord(char) < 0x2000] == []
    assert len(different) < 100


@pytest.mark.parametrize(
    "texts",
    [
        [""],
        ["", ""],
        ["   ", "\t\r\n"],
        ["", "Claim your CASH! call 08001234567"],
        ["one\nline\r\nor\ttwo", "£100", "\u00dcber \u00df \U0001f600"],
        ["word " * 500],
    ],
)
def test_graph_batch_gives_the_expected_probability(run_model, texts):
    labels, probability = run_model(texts)
    expected = expected_probability(make_model(), texts)
    assert probability.shape == (len(texts),)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    assert labels.tolist() == ["spam" if value >= 0.5 else "ham" for value in expected]


def test_graph_one_message_answer_does_not_depend_on_the_batch(run_model):
    texts = ["Claim your CASH! call 08001234567", "", "a\nb\nc\nd hello", "hello"]
    together = run_model(texts)[1]
    alone = np.concatenate([run_model([text])[1] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_graph_threshold_divides_the_labels():
    texts = ["hello", "call 08001234567"]
    sessions = [
        ort.InferenceSession(build_onnx(make_model(threshold), {}), providers=["CPUExecutionProvider"])
        for threshold in (0.0, 1.0)
    ]
    labels = [session.run(["label"], {"text": np.array(texts, dtype=object)})[0] for session in sessions]
    assert [found.tolist() for found in labels] == [["spam", "spam"], ["ham", "ham"]]


def test_build_onnx_same_input_gives_same_bytes_and_metadata(model_bytes):
    assert build_onnx(make_model(), {"task": "test"}) == model_bytes
    session = ort.InferenceSession(model_bytes, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"task": "test"}
    (text,) = session.get_inputs()
    assert (text.name, text.type, text.shape) == ("text", "tensor(string)", ["N"])
    outputs = [(out.name, out.type, out.shape) for out in session.get_outputs()]
    assert outputs == [("label", "tensor(string)", ["N"]), ("probability", "tensor(float)", ["N"])]


def test_build_onnx_uses_standard_operators_only(model_bytes):
    proto = onnx.load_from_string(model_bytes)
    assert {opset.domain for opset in proto.opset_import} == {""}
    assert {node.domain for node in proto.graph.node} == {""}


def make_predictions(*probability: float) -> Predictions:
    values = np.array(probability, dtype=np.float32)
    return Predictions(["spam" if value >= 0.5 else "ham" for value in values], values)


def test_compute_parity_small_difference_returns_it():
    difference = compute_parity(make_predictions(0.1, 0.9), make_predictions(0.1, 0.900005))
    assert 0 < difference <= PARITY_TOLERANCE


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (make_predictions(0.1, 0.4), "1 labels differ, the first at message 1"),
        (make_predictions(0.1, 0.9001), "probabilities differ"),
        (Predictions(["ham", "spam"], np.array([np.nan, 0.9], dtype=np.float32)), "probabilities differ"),
    ],
)
def test_compute_parity_disagreement_raises(other, sentence):
    with pytest.raises(ParityError, match=sentence):
        compute_parity(make_predictions(0.1, 0.9), other)


def test_rows_of_the_graph_are_proven_independent() -> None:
    assert prove_rows(memoryview(build_onnx(make_model(), {}))).obstacle is None
