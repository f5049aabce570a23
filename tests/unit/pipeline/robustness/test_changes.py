"""Rates of changed answers, with a model whose weak points are known."""

import numpy as np
import pytest

from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.decisions import read_decisions
from modelservice_pipeline.evaluate.outputs import Reading
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.robustness.changes import Trial, list_names, measure_changes, perturb
from modelservice_pipeline.robustness.show import show_changes, show_fuzz


def texts(*values):
    return np.fromiter(values, object, len(values))


class Shouting:
    """Says whether a text has an upper-case letter; refuses invisible characters."""

    inputs = (Port("text", "object", (None,)),)
    outputs = (Port("label", "object", (None,)),)

    def __init__(self):
        self.asked = 0

    def predict(self, rows):
        self.asked += len(rows["text"])
        if any(
            "\u200b" in text or "\ufeff" in text or "\u200d" in text or "\u2060" in text
            for text in rows["text"]
        ):
            raise PipelineError("no invisible characters")
        return {"label": texts(*("loud" if text != text.lower() else "calm" for text in rows["text"]))}


class Sum:
    """Adds up the row."""

    inputs = (Port("x", "float32", (None, 2)),)
    outputs = (Port("sum", "float32", (None,)),)

    def predict(self, rows):
        return {"sum": rows["x"].sum(axis=1)}


def measure(predictor, dataset, names, score=None, share=0.1):
    trial = Trial(
        dataset, predictor.predict(dataset.inputs), lambda outputs: read_decisions(outputs, Reading()), score
    )
    return {one["name"]: one for one in measure_changes(predictor, trial, perturb(dataset, names, share, 0))}


def test_rate_is_of_the_rows_that_a_perturbation_changes():
    dataset = Dataset(
        "x", {"text": texts("hello", "WORLD", "123", "ok then")}, texts("calm", "loud", "calm", "calm")
    )

    def score(outputs):
        return float(np.mean(outputs["label"] == dataset.labels))

    found = measure(Shouting(), dataset, ["upper", "lower", "digits"], score)
    assert (found["upper"]["rows"], found["upper"]["changed"], found["upper"]["rate"]) == (2, 2, 1.0)
    assert found["upper"]["score"] == 0.5
    assert (found["lower"]["rows"], found["lower"]["rate"], found["lower"]["score"]) == (1, 1.0, 0.75)
    assert (found["digits"]["rows"], found["digits"]["rate"]) == (1, 0.0)
    example = found["lower"]["examples"][0]
    assert example == {
        "row": 2, "input": "WORLD", "perturbed": "world", "answer": "loud", "answer_perturbed": "calm",
    }  # fmt: skip


def test_rows_that_stay_are_not_asked_again():
    predictor = Shouting()
    dataset = Dataset("x", {"text": texts("hello", "WORLD", "123")})
    measure(predictor, dataset, ["digits"])
    assert predictor.asked == 3 + 1


def test_refusal_is_told_and_the_rest_goes_on():
    found = measure(Shouting(), Dataset("x", {"text": texts("hello", "world")}), ["zero-width", "upper"])
    assert found["zero-width"]["refused"] == "no invisible characters"
    assert found["upper"]["rate"] == 1.0


def test_perturbations_without_effect_are_left_out():
    assert measure(Shouting(), Dataset("x", {"text": texts("123")}), ["lower", "accents", "nan"]) == {}


def test_numbers_count_as_changed_where_they_move_beyond_the_spread():
    rows = np.random.default_rng(0).normal(0, 1, (200, 2)).astype(np.float32)
    found = measure(Sum(), Dataset("x", {"x": rows}), ["noise", "nan"], share=0.01)
    assert found["noise"]["rate"] == 0.0
    assert measure(Sum(), Dataset("x", {"x": rows}), ["noise"], share=0.5)["noise"]["rate"] > 0.5
    assert (found["nan"]["not_finite"], found["nan"]["rate"]) == (200, 1.0)
    assert found["nan"]["boundary"]


def test_rows_of_nan_that_stay_nan_are_no_change():
    rows = np.full((3, 2), np.nan, np.float32)
    assert measure(Sum(), Dataset("x", {"x": rows}), ["nan"]) == {}


def test_names_are_unique():
    assert len(set(list_names())) == len(list_names())


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"logits": np.array([[1.0, 3.0], [2.0, 0.0]])}, [1, 0]),
        ({"p": np.array([0.2, 0.7])}, [0, 1]),
        ({"y": np.array([20.0, 30.0])}, [20.0, 30.0]),
        ({"label": texts("a", "b"), "p": np.array([[1.0, 0.0], [0.0, 1.0]])}, ["a", "b"]),
    ],
)
def test_decision_is_the_class_or_the_number(outputs, expected):
    assert read_decisions(outputs, Reading()).values.tolist() == expected


def test_tables_are_cut_where_a_model_says_much():
    said = "Non-zero status code returned while running " * 10
    edge = {"name": "nan", "title": "NaN", "boundary": True, "rate": 0.0, "refused": said}
    sections = show_changes({"score": None, "score_before": None, "perturbations": [edge]})
    fuzz = {"requests": 1, "outcomes": {"wrong": 1}}
    wrong = [{"request": "empty", "outcome": "wrong", "status": 500, "said": said}]
    for line in "\n".join([*sections, show_fuzz({**fuzz, "wrong": wrong})]).splitlines():
        assert len(line) < 160
