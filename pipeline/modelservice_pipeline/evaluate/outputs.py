"""Finds among a model's outputs the answers that labels are compared with.

Exporters name and shape them as they like: a label and probabilities (scikit-learn), logits (torch,
transformers), one probability or one logit of the positive class, numbers, texts. What was taken for what is
told in the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.data.labels import parse_labels
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import Answers, distinct
from modelservice_pipeline.evaluate.classification import Array
from modelservice_pipeline.evaluate.label_classes import (
    align_labels,
    is_numbered,
    name_columns,
    parse_classes,
)
from modelservice_pipeline.evaluate.metrics import Task
from modelservice_pipeline.evaluate.scores import to_probabilities
from modelservice_pipeline.model.session import Port

_LIKELY = ("prob", "softmax", "logit", "score")
"""In the names of outputs that hold a number per class, the likeliest first."""


@dataclass(frozen=True)
class Reading:
    """What a user says about a model's outputs; None where they tell it themselves.

    Attributes:
        task: What the model is for.
        output: The only output to look at.
        classes: What the model's classes are called, in its order.
        threshold: The positive class is answered from this probability on; by default the likelier one is.
    """

    task: Task | None = None
    output: str | None = None
    classes: tuple[str, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True)
class Found:
    """Answers and labels of one type, and how they were found.

    Attributes:
        task: What the model is for.
        labels: The truth, [rows] or [rows, answers].
        answers: What the model says of the same rows.
        notes: Sentences: what was taken for what.
    """

    task: Task
    labels: Array
    answers: Answers
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Outputs:
    """Outputs without dimensions of 1, and which of them answer.

    Attributes:
        outputs: Arrays by name, the first dimension is that of rows.
        said: The one that holds one text or whole number a row, or None.
        scores: The one that holds a number, or a number per class, of each row, or None.
    """

    outputs: dict[str, Array]
    said: str | None
    scores: str | None


def check_outputs(ports: Sequence[Port]) -> None:
    """Check that every output is a tensor. Raises PipelineError that says how to get one."""
    for port in ports:
        if port.dtype.startswith(("seq", "map", "optional", "sparse")):
            raise PipelineError(
                f"the model's output {port.name} has the type {port.dtype}, which no server can answer "
                "with: convert the model again without ZipMap (skl2onnx: options={'zipmap': False}); "
                "modelservice model convert does it"
            )


def read_answers(outputs: Mapping[str, Array], labels: Array, reading: Reading) -> Found:
    """Return the answers among a model's outputs.

    Args:
        outputs: Arrays by name, the first dimension is that of rows.
        labels: The truth, as a data set has it.
        reading: What the user says.

    Raises:
        PipelineError: No output fits, or more than one does, or labels and answers cannot be compared.
    """
    found = find_outputs(outputs, reading)
    chosen, said, scores = found.outputs, found.said, found.scores
    labels = _settle_labels(labels, None if said is None else chosen[said], reading)
    task = reading.task or _guess_task(labels, said, scores, chosen)
    if task == "text":
        return _read_texts(labels, said, chosen)
    if task == "regression":
        return _read_numbers(labels, said, scores, chosen)
    return _read_classes(labels, said, scores, chosen, reading)


def _settle_labels(labels: Array, said: Array | None, reading: Reading) -> Array:
    """Return texts that look like numbers as what they are compared with: texts, or else numbers."""
    if labels.dtype != object or reading.task == "text":
        return labels
    is_named = set(labels.tolist()) <= set(reading.classes) and not is_numbered(reading.classes)
    is_text = is_named or (said is not None and said.dtype == object)
    return labels if is_text and reading.task != "regression" else parse_labels(labels)


def find_outputs(outputs: Mapping[str, Array], reading: Reading) -> Outputs:
    """Find the outputs that answer. Raises PipelineError where several might."""
    chosen = _choose(outputs, reading)
    said = _find_said(chosen)
    return Outputs(chosen, said, _find_scores(chosen, is_needed=said is None))


def find_class(found: Found, asked: str | None) -> Any:
    """Return the class that a user names; None where none is named. Raises PipelineError."""
    if asked is None:
        return None
    known = distinct(found.labels, found.answers.predicted)
    for name in known:
        if str(name) == asked:
            return name
    raise PipelineError(
        f"--positive {asked}: there is no such class; there are: {', '.join(map(str, known))}"
    )


def _choose(outputs: Mapping[str, Array], reading: Reading) -> dict[str, Array]:
    if reading.output is not None and reading.output not in outputs:
        raise PipelineError(f"the model has no output {reading.output!r}; it has: {', '.join(outputs)}")
    names = [reading.output] if reading.output is not None else list(outputs)
    return {name: _squeeze(outputs[name]) for name in names}


def _squeeze(array: Array) -> Array:
    sizes = [size for size in array.shape[1:] if size != 1]
    return array.reshape(len(array), *sizes)


def _find_said(outputs: Mapping[str, Array]) -> str | None:
    """Return the output that holds one text or whole number a row, or None."""
    names = [name for name, array in outputs.items() if array.dtype.kind in "Oiub" and array.ndim == 1]
    named = [name for name in names if "label" in name.lower() or "class" in name.lower()]
    found = named if len(named) == 1 else names
    if len(found) > 1:
        raise PipelineError(
            f"several outputs may be the answer: {', '.join(found)}; choose one with --output-name"
        )
    return found[0] if found else None


def _find_scores(outputs: Mapping[str, Array], is_needed: bool) -> str | None:
    """Return the output that holds a number, or a number per class, of each row, or None."""
    names = [name for name, array in outputs.items() if array.dtype.kind == "f" and array.ndim <= 2]
    for part in _LIKELY:
        named = [name for name in names if part in name.lower()]
        if len(named) == 1:
            return named[0]
    if len(names) > 1 and is_needed:
        raise PipelineError(
            f"several outputs may be the answer: {', '.join(names)}; choose one with --output-name"
        )
    return names[0] if len(names) == 1 else None


def _guess_task(labels: Array, said: str | None, scores: str | None, outputs: Mapping[str, Array]) -> Task:
    if labels.dtype == object:
        is_text = said is not None and outputs[said].dtype == object and scores is None
        return "text" if is_text and _are_sentences(labels) else "classification"
    if labels.ndim > 1 or (labels.dtype.kind == "f" and not _are_whole(labels)):
        return "regression"
    if said is None and scores is not None and outputs[scores].ndim == 1:
        return "classification" if set(labels.tolist()) <= {0, 1} else "regression"
    return "classification"


def _are_sentences(labels: Array) -> bool:
    """Say whether labels are texts of their own rather than names of classes: most differ from all others."""
    return len(set(labels.tolist())) * 2 > len(labels) and any(" " in label for label in labels.tolist())


def _are_whole(labels: Array) -> bool:
    return bool((labels == np.floor(labels)).all())


def _read_texts(labels: Array, said: str | None, outputs: Mapping[str, Array]) -> Found:
    if said is None or outputs[said].dtype != object:
        raise PipelineError(f"no output holds one text a row; the outputs are: {_describe(outputs)}")
    texts = np.fromiter((str(label) for label in labels.tolist()), object, len(labels))
    return Found("text", texts, Answers(outputs[said]), (f"{said} is the text",))


def _read_numbers(labels: Array, said: str | None, scores: str | None, outputs: Mapping[str, Array]) -> Found:
    name = scores or said
    if name is None or outputs[name].dtype == object:
        raise PipelineError(f"no output holds a number of each row; the outputs are: {_describe(outputs)}")
    if labels.dtype.kind not in "iuf":
        raise PipelineError(f"the labels are texts such as {labels[0]!r}, and regression needs numbers")
    numbers = outputs[name].astype(np.float64)
    truth = _squeeze(labels.astype(np.float64))
    if numbers.shape != truth.shape:
        raise PipelineError(
            f"output {name} has {_width(numbers)} numbers a row, and the labels have {_width(truth)}"
        )
    _check_finite(name, numbers)
    return Found("regression", truth, Answers(numbers), (f"{name} is the number",))


def _read_classes(
    labels: Array, said: str | None, scores: str | None, outputs: Mapping[str, Array], reading: Reading
) -> Found:
    if labels.ndim > 1:
        raise PipelineError("every row has several labels; one class a row is expected")
    if said is None and scores is None:
        raise PipelineError(
            f"no output holds a class, or a number per class, of each row; the outputs "
            f"are: {_describe(outputs)}"
        )
    names = parse_classes(reading.classes)
    predicted = None if said is None else outputs[said]
    labels, predicted = align_labels(labels, predicted, names)
    if labels.dtype == object:
        names = list(reading.classes)
    notes = [] if said is None else [f"{said} is the class"]
    if predicted is not None and not set(labels.tolist()) & set(predicted.tolist()):
        notes.append(f"no answer is one of the labels: {predicted[0]!r} and {labels[0]!r} are the first")
    if scores is None:
        assert predicted is not None
        return Found("classification", labels, Answers(predicted), tuple(notes))
    _check_finite(scores, outputs[scores])
    probabilities, meaning = to_probabilities(outputs[scores].astype(np.float64))
    classes, remark = name_columns(probabilities, labels, predicted, names)
    notes += [f"{scores} holds {meaning}", *remark]
    if predicted is None or reading.threshold is not None:
        predicted = classes[_decide(probabilities, reading.threshold)]
    return Found("classification", labels, Answers(predicted, probabilities, classes), tuple(notes))


def _decide(probabilities: Array, threshold: float | None) -> Array:
    if threshold is None:
        best: Array = probabilities.argmax(axis=1)
        return best
    if probabilities.shape[1] != 2:
        raise PipelineError(f"--threshold needs two classes, and the model has {probabilities.shape[1]}")
    numbers: Array = np.where(probabilities[:, 1] >= threshold, 1, 0)
    return numbers


def _check_finite(name: str, numbers: Array) -> None:
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        row = int(wrong[0][0])
        value = numbers[tuple(wrong[0])]
        raise PipelineError(
            f"the model answers {value} in {name} for row {row + 1}, which is no number to compare"
        )


def _describe(outputs: Mapping[str, Array]) -> str:
    return ", ".join(
        f"{name} ({'text' if array.dtype == object else array.dtype}, {_width(array)} a row)"
        for name, array in outputs.items()
    )


def _width(array: Array) -> str:
    return " x ".join(str(size) for size in array.shape[1:]) or "1"
