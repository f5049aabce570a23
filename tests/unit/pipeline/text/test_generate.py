"""Generation by a small table of scores, against the same written in plain Python."""

import math
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.text.generate import Pieces, generate, greedy, sampler
from modelservice_pipeline.text.graph import FLOAT, INT64, STRING, Graph, Value

TEXTS = ["", "<end>", " the", " page", " of", "s", ".", " Text", "é", " "]
BEGIN, END = 0, 1
PIECES = Pieces(TEXTS, BEGIN, END)
SCORES = np.random.default_rng(3).normal(size=(len(TEXTS), len(TEXTS))).astype(np.float32) * 2
SCORES[:, END] -= 1
MASK = 2**32 - 1


def save(graph: Graph, folder: Path) -> OnnxModel:
    path = folder / "model.onnx"
    onnx.save(graph.model(), path)
    return OnnxModel(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    """A model whose next scores depend on the piece before, and on how many there were (its state)."""
    graph = Graph("table")
    inputs = {
        name: graph.input(name, datatype, ["N"])
        for name, datatype in (
            ("most", INT64),
            ("temperature", FLOAT),
            ("top_k", INT64),
            ("seed", INT64),
        )
    }

    def step(before: Value, state: tuple[Value, ...]) -> tuple[Value, tuple[Value, ...]]:
        (count,) = state
        return graph.constant(SCORES).gather(before) * count.unsqueeze(1), (count + np.float32(0.125),)

    state = (graph.full(inputs["most"].shape(), 1.0),)
    choose = sampler(inputs["temperature"], inputs["top_k"], inputs["seed"], len(TEXTS))
    graph.output("sampled", generate(step, state, PIECES, inputs["most"], choose), STRING, ["N"])
    graph.output("greedy", generate(step, state, PIECES, inputs["most"], greedy), STRING, ["N"])
    first = graph.where(inputs["top_k"] > 5, 2, BEGIN)
    graph.output(
        "going_on", generate(step, state, PIECES, inputs["most"], greedy, first=first), STRING, ["N"]
    )
    return save(graph, tmp_path_factory.mktemp("table"))


def lowbias32(word: int) -> int:
    word ^= word >> 16
    word = word * 0x7FEB352D & MASK
    word ^= word >> 15
    word = word * 0x846CA68B & MASK
    return word ^ word >> 16


def uniform(seed: int, counter: int) -> float:
    state = lowbias32(seed & MASK)
    for word in (seed >> 32 & MASK, counter & MASK):
        state = lowbias32(state ^ word)
    return (state + 0.5) / 2**32


def write(most: int, temperature: float, top_k: int, seed: int, first: int = BEGIN) -> str:
    """What the graph should write."""
    text, before, count = "", first, np.float32(1)
    for position in range(most):
        scores = SCORES[before] * count
        count += np.float32(0.125)
        order = sorted(range(len(TEXTS)), key=lambda piece: (-scores[piece], piece))
        before = order[0]
        if temperature > 0:
            kept = order[:top_k] if top_k > 0 else order
            weights = [
                math.exp(float(scores[piece] - scores[order[0]]) / float(np.float32(temperature)))
                for piece in kept
            ]
            threshold = uniform(seed, position) * sum(weights)
            before = next(
                piece for piece, total in zip(kept, accumulate(weights), strict=True) if total > threshold
            )
        if before == END:
            break
        piece = TEXTS[before]
        text += piece.removeprefix(" ") if position == 0 and first == BEGIN else piece
    return text


def ask(model: OnnxModel, rows: list[tuple[int, float, int, int]]) -> dict[str, Any]:
    most, temperature, top_k, seed = zip(*rows, strict=True)
    answer = model.run(
        {
            "most": np.array(most, np.int64),
            "temperature": np.array(temperature, np.float32),
            "top_k": np.array(top_k, np.int64),
            "seed": np.array(seed, np.int64),
        }
    )
    return {name: list(texts) for name, texts in answer.items()}


ROWS = st.tuples(
    st.integers(0, 12),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.integers(-1, 12),
    st.integers(-(2**63), 2**63 - 1),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_generate_any_settings_writes_what_plain_python_writes(model, rows):
    answer = ask(model, rows)
    assert answer["sampled"] == [write(*row) for row in rows]
    assert answer["greedy"] == [write(most, 0, 0, 0) for most, *_ in rows]
    assert answer["going_on"] == [write(row[0], 0, 0, 0, first=2 if row[2] > 5 else BEGIN) for row in rows]


def test_generate_batch_writes_what_each_row_writes_alone(model):
    rows = [(12, 1.0, 1 + seed % 10, seed) for seed in range(40)]
    together = ask(model, rows)["sampled"]
    assert together == [ask(model, [row])["sampled"][0] for row in rows]
    assert len(set(together)) > 20


@pytest.mark.parametrize("temperature", [-1.0, math.nan])
def test_sampler_temperature_that_is_none_is_greedy(model, temperature):
    answer = ask(model, [(12, temperature, 0, 5)])
    assert answer["sampled"] == answer["greedy"]


def test_sampler_extreme_temperatures_answer(model):
    greedy_text = ask(model, [(12, 1e-30, 0, 5)])
    assert greedy_text["sampled"] == greedy_text["greedy"]
    hot = {ask(model, [(1, math.inf, 0, seed)])["sampled"][0] for seed in range(200)}
    assert hot == {text.removeprefix(" ") for text in TEXTS if text != TEXTS[END]}


def test_sampler_many_seeds_draw_by_probability(model):
    rows = [(1, 3.0, 5, seed) for seed in range(4000)]
    drawn = Counter(ask(model, rows)["sampled"])
    best = sorted(range(len(TEXTS)), key=lambda piece: -SCORES[BEGIN][piece])[:5]
    weights = np.exp(SCORES[BEGIN][best].astype(float) / 3)
    expected = Counter[str]()
    for piece, weight in zip(best, weights / weights.sum(), strict=True):
        expected[TEXTS[piece].removeprefix(" ")] += weight
    assert {text: count / len(rows) for text, count in drawn.items()} == pytest.approx(
        dict(expected), abs=0.03
    )


def test_generate_no_rows_answers_none(model):
    assert ask(model, [(1, 1.0, 1, 1)])["greedy"]
    empty = {port.name: np.zeros(0, port.dtype) for port in model.inputs}
    assert all(len(texts) == 0 for texts in model.run(empty).values())


def test_pieces_end_beyond_them_is_refused():
    with pytest.raises(PipelineError, match="the piece `end` has number 4, but there are 2 pieces"):
        Pieces(["a", "b"], 0, 4)
