"""Recurrent layers in a graph against torch's equations in NumPy."""

import numpy as np
import onnx
import pytest

from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.text.graph import FLOAT, INT64, Graph
from modelservice_pipeline.text.recurrent import Gru, linear

RANDOM = np.random.default_rng(5)
INPUTS, HIDDEN = 3, 4


def make_weights(name: str, suffixes: tuple[str, ...]) -> dict[str, np.ndarray]:
    sizes = {
        "weight_ih": (3 * HIDDEN, INPUTS),
        "weight_hh": (3 * HIDDEN, HIDDEN),
        "bias_ih": (3 * HIDDEN,),
        "bias_hh": (3 * HIDDEN,),
    }
    return {
        f"{name}.{kind}_{suffix}": RANDOM.normal(size=size).astype(np.float32)
        for suffix in suffixes
        for kind, size in sizes.items()
    }


def step(weights: dict[str, np.ndarray], suffix: str, x: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One step as torch's documentation of nn.GRU has it."""

    def sigmoid(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-values))

    inputs = np.split(weights[f"gru.weight_ih_{suffix}"] @ x + weights[f"gru.bias_ih_{suffix}"], 3)
    states = np.split(weights[f"gru.weight_hh_{suffix}"] @ state + weights[f"gru.bias_hh_{suffix}"], 3)
    reset, update = sigmoid(inputs[0] + states[0]), sigmoid(inputs[1] + states[1])
    return (1 - update) * np.tanh(inputs[2] + reset * states[2]) + update * state


def read(weights: dict[str, np.ndarray], suffix: str, xs: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    return [state := step(weights, suffix, x, state) for x in xs]


def test_gru_both_ways_is_torchs_and_padding_has_no_influence(tmp_path):
    weights = make_weights("gru", ("l1", "l1_reverse"))
    graph = Graph("encoder")
    inputs, lengths = graph.input("x", FLOAT, ["N", "T", INPUTS]), graph.input("lengths", INT64, ["N"])
    outputs, last = Gru.from_torch(weights, "gru", 1, both_ways=True).read(inputs, lengths)
    graph.output("outputs", outputs, FLOAT, ["N", "T", 2 * HIDDEN])
    graph.output("last", last, FLOAT, ["N", 2 * HIDDEN])
    onnx.save(graph.model(), tmp_path / "model.onnx")
    x = RANDOM.normal(size=(3, 6, INPUTS)).astype(np.float32)
    answer = OnnxModel(tmp_path / "model.onnx").run({"x": x, "lengths": np.array([6, 1, 4])})
    zeros = np.zeros(HIDDEN)
    for row, length in enumerate((6, 1, 4)):
        forward = read(weights, "l1", x[row, :length], zeros)
        backward = read(weights, "l1_reverse", x[row, :length][::-1], zeros)[::-1]
        expected = np.concatenate([forward, backward], axis=1)
        assert answer["outputs"][row, :length] == pytest.approx(expected, abs=1e-5)
        assert answer["last"][row] == pytest.approx(np.concatenate([forward[-1], backward[0]]), abs=1e-5)


def test_gru_step_and_linear_are_torchs(tmp_path):
    weights = make_weights("gru", ("l0",)) | {
        "out.weight": RANDOM.normal(size=(2, HIDDEN)).astype(np.float32),
        "out.bias": RANDOM.normal(size=2).astype(np.float32),
    }
    graph = Graph("decoder")
    inputs, state = graph.input("x", FLOAT, ["N", INPUTS]), graph.input("state", FLOAT, ["N", HIDDEN])
    after = Gru.from_torch(weights, "gru").step(inputs, state)
    graph.output("after", after, FLOAT, ["N", HIDDEN])
    graph.output("out", linear(after, weights, "out"), FLOAT, ["N", 2])
    onnx.save(graph.model(), tmp_path / "model.onnx")
    x = RANDOM.normal(size=(2, INPUTS)).astype(np.float32)
    before = RANDOM.normal(size=(2, HIDDEN)).astype(np.float32)
    answer = OnnxModel(tmp_path / "model.onnx").run({"x": x, "state": before})
    expected = np.array([step(weights, "l0", *row) for row in zip(x, before, strict=True)])
    assert answer["after"] == pytest.approx(expected, abs=1e-5)
    assert answer["out"] == pytest.approx(expected @ weights["out.weight"].T + weights["out.bias"], abs=1e-5)
