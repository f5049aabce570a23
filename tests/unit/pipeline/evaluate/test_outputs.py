"""Outputs as exporters make them: which is the label, which are probabilities, and of what."""

import json

import numpy as np
import pytest

from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.outputs import Reading, check_outputs, read_answers
from modelservice_pipeline.model.session import Port


def texts(*values):
    return np.fromiter(values, object, len(values))


PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]], np.float32)
LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])).astype(np.float32) + 3


def test_scikit_learn_pair_is_label_and_probabilities():
    outputs = {"output_label": texts("b", "a", "c"), "output_probability": PROBABILITIES}
    found = read_answers(outputs, texts("b", "a", "a"), Reading())
    assert found.answers.predicted.tolist() == ["b", "a", "c"]
    assert found.answers.classes.tolist() == ["b", "a", "c"]  # by what is answered where a column is greatest
    assert found.notes == ("output_label is the class", "output_probability holds probabilities")


def test_class_that_nobody_answers_is_the_one_left_over():
    outputs = {"label": np.array([1, 1, 3]), "probabilities": PROBABILITIES[[0, 0, 2]]}
    found = read_answers(outputs, np.array([1, 2, 3]), Reading())
    assert found.answers.classes.tolist() == [1, 2, 3]


def test_class_that_data_does_not_have_cannot_match():
    outputs = {"label": texts("a", "a"), "probabilities": PROBABILITIES[[0, 0]]}
    found = read_answers(outputs, texts("a", "b"), Reading())
    assert found.answers.classes.tolist()[0] == "a"
    assert len(set(found.answers.classes.tolist())) == 3


@pytest.mark.parametrize(
    ("scores", "expected", "note"),
    [
        (LOGITS, [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], "logits holds logits (softmax taken)"),
        (PROBABILITIES[:2], PROBABILITIES[:2], "logits holds probabilities"),
        (
            np.array([[0.9, 0.9, 0.0], [0.1, 0.7, 0.2]]),
            [[0.5, 0.5, 0], [0.1, 0.7, 0.2]],
            "divided by their sum",
        ),
    ],
)
def test_numbers_per_class_become_probabilities(scores, expected, note):
    found = read_answers({"logits": scores}, np.array([0, 2]), Reading())
    assert np.allclose(found.answers.probabilities, expected, atol=1e-6)
    assert found.answers.predicted.tolist() == [0, 1]
    assert note in found.notes[0]


@pytest.mark.parametrize(
    ("scores", "positive", "predicted"),
    [
        (np.array([[0.2], [0.9]], np.float32), [0.2, 0.9], [0, 1]),
        (np.array([-1000.0, 2.0]), [0.0, 1 / (1 + np.exp(-2))], [0, 1]),
    ],
)
def test_one_number_is_of_the_second_class(scores, positive, predicted):
    found = read_answers({"out": scores}, np.array([0, 1]), Reading())
    assert found.answers.probabilities[:, 1].tolist() == pytest.approx(positive)
    assert found.answers.predicted.tolist() == predicted
    named = read_answers({"out": scores}, texts("ham", "spam"), Reading())
    assert named.answers.predicted.tolist() == ["ham", "spam"]


def test_threshold_moves_the_answer():
    scores = np.array([0.2, 0.35, 0.9])
    found = read_answers({"out": scores}, np.array([0, 1, 1]), Reading(threshold=0.3))
    assert found.answers.predicted.tolist() == [0, 1, 1]
    with pytest.raises(PipelineError, match="needs two classes, and the model has 3"):
        read_answers({"out": PROBABILITIES}, np.array([0, 1, 1]), Reading(threshold=0.3))


def test_named_classes_translate_numbers():
    found = read_answers({"logits": LOGITS}, texts("coat", "bag"), Reading(classes=("coat", "bag", "shirt")))
    assert found.answers.predicted.tolist() == ["coat", "bag"]
    numbers = read_answers({"logits": LOGITS}, np.array([0, 2]), Reading(classes=("coat", "bag", "shirt")))
    assert numbers.labels.tolist() == ["coat", "shirt"]
    answered = read_answers({"label": np.array([1, 0])}, texts("b", "a"), Reading(classes=("a", "b")))
    assert answered.answers.predicted.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("outputs", "labels", "reading", "message"),
    [
        (
            {"label": np.array([1, 0])},
            texts("ham", "b"),
            Reading(),
            "answers whole numbers .* --classes b,ham",
        ),
        (
            {"logits": LOGITS},
            texts("a", "b"),
            Reading(),
            "has 3 classes, and the labels are 2 others, such as 'a'",
        ),
        (
            {"logits": LOGITS},
            texts("a", "b"),
            Reading(classes=("a", "b")),
            "names 2 classes, and the model has 3",
        ),
        (
            {"logits": LOGITS},
            np.array([7, 1]),
            Reading(classes=("a", "b", "c")),
            "label 7 is no place in --classes",
        ),
        ({"logits": LOGITS}, np.array([0, 1]), Reading(output="x"), "no output 'x'; it has: logits"),
        ({"a": LOGITS, "b": LOGITS}, np.array([0, 1]), Reading(), "may be the answer: a, b; choose one"),
        ({"hidden": np.zeros((2, 3, 4))}, np.array([0, 1]), Reading(), r"hidden \(float64, 3 x 4 a row\)"),
        (
            {"logits": np.array([[1, np.nan], [0, 1]])},
            np.array([0, 1]),
            Reading(),
            "answers nan in logits for row 1",
        ),
        (
            {"out": np.array([1.0, 2.0])},
            texts("a", "b"),
            Reading(task="regression"),
            "labels are texts such as 'a'",
        ),
        (
            {"out": np.zeros((2, 3))},
            np.array([1.5, 2.5]),
            Reading(),
            "has 3 numbers a row, and the labels have 1",
        ),
        ({"out": LOGITS}, texts("x y", "z"), Reading(task="text"), "no output holds one text"),
        ({"logits": LOGITS}, np.array([0.5, 1]), Reading(task="classification"), "0.5, which are no classes"),
    ],
)
def test_what_cannot_be_compared_is_told(outputs, labels, reading, message):
    with pytest.raises(PipelineError, match=message):
        read_answers(outputs, labels, reading)


@pytest.mark.parametrize(
    ("outputs", "labels", "task"),
    [
        ({"variable": np.array([[1.5], [2.5]])}, np.array([1, 7]), "regression"),
        ({"variable": np.array([[0.4], [0.6]])}, np.array([0.25, 0.5]), "regression"),
        ({"variable": np.array([[0.4], [0.6]])}, np.array([0, 1]), "classification"),
        ({"text": texts("ein Haus", "das Auto")}, texts("a house", "the car"), "text"),
        ({"label": texts("spam", "ham")}, texts("ham", "spam"), "classification"),
        ({"label": np.array([[1], [0]])}, np.array([1.0, 0.0]), "classification"),
        ({"out": np.zeros((2, 3))}, np.zeros((2, 3)), "regression"),
    ],
)
def test_task_is_what_outputs_and_labels_tell(outputs, labels, task):
    assert read_answers(outputs, labels, Reading()).task == task


def test_sequence_of_maps_is_refused_with_a_remedy():
    with pytest.raises(PipelineError, match=r"output_probability has the type seq\(map.*zipmap"):
        check_outputs([Port("output_probability", "seq(map(int64,tensor(float)))", (None,))])


def test_labels_that_are_no_answers_are_told():
    with pytest.raises(PipelineError, match="labels are numbers such as 1: say which number is which"):
        read_answers({"label": texts("ham", "spam")}, np.array([1, 0]), Reading())
    found = read_answers({"label": texts("ham", "ham")}, texts("Ham", "SPAM"), Reading())
    assert found.notes[-1] == "no answer is one of the labels: 'ham' and 'Ham' are the first"


def test_labels_of_numbers_meet_answers_of_texts():
    found = read_answers({"label": texts("1", "2")}, np.array([1, 1]), Reading())
    assert found.labels.tolist() == ["1", "1"]


@pytest.mark.parametrize(
    "cells",
    [("1", "2", "3.0"), ("1", "1.0", "1e0"), ("+1", "2", "1e5"), ("1_0", "10", "٣"), ("1.0", "1.1", "2")],
)
@pytest.mark.parametrize("ending", [".csv", ".npz", ".jsonl"])
def test_labels_stay_the_texts_that_a_model_answers(tmp_path, cells, ending):
    path = tmp_path / f"rows{ending}"
    if ending == ".npz":
        np.savez(path, x=np.array(cells), label=np.array(cells))
    elif ending == ".csv":
        path.write_text("x,label\n" + "".join(f"{cell},{cell}\n" for cell in cells))
    else:
        path.write_text("".join(json.dumps({"x": cell, "label": cell}) + "\n" for cell in cells))
    data = load_dataset(path, [Port("x", "object", (None,))])
    found = read_answers({"label": data.inputs["x"]}, data.labels, Reading())
    assert found.labels.tolist() == found.answers.predicted.tolist() == list(cells)


@pytest.mark.parametrize(
    ("outputs", "classes", "expected"),
    [
        ({"label": np.array([1, 10])}, (), [1, 10]),
        ({"logits": LOGITS}, ("2", "1", "10"), [1, 10]),
        ({"logits": LOGITS}, ("1", "10", "1.0"), ["1", "10"]),
        ({"label": texts("1", "10"), "probabilities": PROBABILITIES[:2]}, ("1", "10", "2"), ["1", "10"]),
    ],
)
def test_labels_that_look_like_numbers_are_what_they_are_compared_with(outputs, classes, expected):
    found = read_answers(outputs, texts("1", "10"), Reading(classes=classes))
    assert found.labels.tolist() == expected
    assert found.answers.classes is None or set(expected) <= set(found.answers.classes.tolist())


def test_labels_of_text_are_numbers_to_a_regression():
    found = read_answers({"y": np.array([1.5, 2.5])}, texts("1", "2.25"), Reading())
    assert (found.task, found.labels.tolist()) == ("regression", [1.0, 2.25])
