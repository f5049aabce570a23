"""The candidates of the canary are what they are said to be, and differ in nothing else."""

import candidates
import numpy as np
import onnxruntime as ort
import pytest
from spam.export import TrainedModel, build_onnx
from spam.text import TOKEN_PATTERNS

MESSAGES = ["hello", "call now to claim 100", ""]
VOCABULARY = ("call", "claim", "hello")


@pytest.fixture(scope="module")
def good() -> bytes:
    features = len(VOCABULARY) + len(TOKEN_PATTERNS)
    weights = np.linspace(-1, 1, 2 * features, dtype=np.float32).reshape(2, features)
    model = TrainedModel(
        vocabulary=VOCABULARY,
        hidden_weight=weights,
        hidden_bias=np.array([0.5, 0.25], dtype=np.float32),
        output_weight=np.array([[1.0, -1.0]], dtype=np.float32),
        output_bias=np.array([0.1], dtype=np.float32),
        threshold=0.5,
        norm_epsilon=1e-6,
    )
    return build_onnx(model, {})


def ask(model: bytes, input_name: str = "text") -> tuple[list[str], np.ndarray]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(["label", "probability"], {input_name: np.array(MESSAGES, dtype=object)})
    return [str(one) for one in found[0]], found[1]


def signature(model: bytes) -> tuple[list[tuple[str, str, list]], list[tuple[str, str, list]]]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs, outputs = (
        [(one.name, one.type, one.shape) for one in tensors]
        for tensors in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def test_slow_gives_the_same_answers_after_its_loop(good, monkeypatch):
    monkeypatch.setattr(candidates, "SLOW_STEPS", 10)
    slow = candidates.make_slow(good)
    assert signature(slow) == signature(good)
    labels, probability = ask(slow)
    expected_labels, expected = ask(good)
    assert labels == expected_labels
    np.testing.assert_array_equal(probability, expected)
    assert b"Loop" in slow


def test_dividing_by_zero_answers_nan_for_the_empty_message_alone(good):
    divides = candidates.make_dividing_by_zero(good)
    assert signature(divides) == signature(good)
    _, probability = ask(divides)
    assert np.isnan(probability).tolist() == [False, False, True]
    np.testing.assert_allclose(probability[:2], ask(good)[1][:2], rtol=1e-4)


def test_renamed_takes_message_and_no_text(good):
    renamed = candidates.make_renamed(good)
    inputs, outputs = signature(renamed)
    assert [name for name, _, _ in inputs] == ["message"]
    assert outputs == signature(good)[1]
    np.testing.assert_array_equal(ask(renamed, "message")[1], ask(good)[1])


def test_only_the_better_model_is_to_be_promoted(good):
    (promoted,) = (one for one in candidates.CANDIDATES if one.is_good)
    assert promoted.make(good) == good
