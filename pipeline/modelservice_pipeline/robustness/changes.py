"""How often a model's answer changes when its rows are perturbed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from modelservice_pipeline.data.dataset import Dataset
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.asking import ask
from modelservice_pipeline.evaluate.decisions import Decisions
from modelservice_pipeline.predict.predictor import Predictor
from modelservice_pipeline.robustness.numbers import NUMBER_PERTURBATIONS, NumberPerturbation
from modelservice_pipeline.robustness.texts import TEXT_PERTURBATIONS, TextPerturbation

Array = np.ndarray[Any, Any]
Read = Callable[[Mapping[str, Array]], Decisions]
Score = Callable[[Mapping[str, Array]], float]

_EXAMPLES = 3
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Perturbed:
    """Inputs after one perturbation.

    Attributes:
        name: Of the perturbation.
        title: What it does.
        is_boundary: Whether a changed answer says nothing bad.
        inputs: All rows, changed or not.
        changed: Which rows the perturbation really changed, bool [rows].
    """

    name: str
    title: str
    is_boundary: bool
    inputs: dict[str, Array]
    changed: Array


@dataclass(frozen=True)
class Trial:
    """What perturbed rows are compared with.

    Attributes:
        dataset: The rows as they are.
        before: The outputs for them.
        read: Takes decisions from outputs.
        score: A figure of quality from outputs of all rows; None without labels.
    """

    dataset: Dataset
    before: Mapping[str, Array]
    read: Read
    score: Score | None


def list_names() -> list[str]:
    """Return the names of all perturbations."""
    return [text.name for text in TEXT_PERTURBATIONS] + [number.name for number in NUMBER_PERTURBATIONS]


def perturb(dataset: Dataset, names: list[str], share: float, seed: int) -> Iterator[Perturbed]:
    """Yield the data set after each perturbation that applies to its inputs and changes a row.

    Args:
        dataset: The rows.
        names: Of the perturbations that are wanted.
        share: How much is changed: of words and letters, of the standard deviation of numbers.
        seed: Of all that is random; a row is changed in the same way whichever others there are.
    """
    texts = {name: array for name, array in dataset.inputs.items() if array.dtype == object}
    numbers = {name: array for name, array in dataset.inputs.items() if array.dtype.kind in "iuf"}
    for text in TEXT_PERTURBATIONS:
        if text.name in names and texts:
            new = {
                name: _change_texts(array, text.change, share, f"{seed}/{text.name}")
                for name, array in texts.items()
            }
            yield from _compare(dataset, text, new)
    for place, number in enumerate(NUMBER_PERTURBATIONS):
        if number.name in names and numbers:
            generator = np.random.default_rng([seed, place])
            found = {name: number.change(array, generator, share) for name, array in numbers.items()}
            new = {name: array for name, array in found.items() if array is not None}
            yield from _compare(dataset, number, new)


def measure_changes(
    predictor: Predictor, trial: Trial, perturbed: Iterator[Perturbed]
) -> list[dict[str, Any]]:
    """Return, for each perturbation, how many rows it changed, how many answers, and some examples."""
    facts = []
    for one in perturbed:
        try:
            outputs = _ask_changed(predictor, one, trial.before)
        except PipelineError as error:
            facts.append(_describe(one) | {"refused": str(error)})
            continue
        facts.append(_describe(one) | _count(one, trial, outputs) | _rate(trial.score, outputs))
    return facts


def _change_texts(
    array: Array, change: Callable[[str, Random, float], str], share: float, seed: str
) -> Array:
    flat = [
        change(text, Random(f"{seed}/{row}"), share)  # noqa: S311 - the same changes for a seed
        for row, text in enumerate(array.ravel().tolist())
    ]
    return np.fromiter(flat, object, array.size).reshape(array.shape)


def _compare(
    dataset: Dataset, what: TextPerturbation | NumberPerturbation, new: dict[str, Array]
) -> Iterator[Perturbed]:
    changed = np.zeros(len(dataset), bool)
    for each, array in new.items():
        old = dataset.inputs[each]
        # NaN is equal to itself here.
        differs = (array != old) & ((array == array) | (old == old))
        changed |= differs.reshape(len(dataset), -1).any(axis=1)
    if changed.any():
        is_boundary = isinstance(what, NumberPerturbation) and what.is_boundary
        yield Perturbed(what.name, what.title, is_boundary, {**dataset.inputs, **new}, changed)


def _ask_changed(predictor: Predictor, one: Perturbed, before: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs for all rows; only those that are not as before are asked for again."""
    rows = np.flatnonzero(one.changed)
    part = Dataset(one.name, {name: array[rows] for name, array in one.inputs.items()})
    answers = ask(predictor, part, f"Asking after {one.name}")
    outputs = {}
    for name, array in answers.items():
        outputs[name] = before[name].astype(np.result_type(before[name], array), copy=True)
        outputs[name][rows] = array
    return outputs


def _describe(one: Perturbed) -> dict[str, Any]:
    return {
        "name": one.name,
        "title": one.title,
        "boundary": one.is_boundary,
        "rows": int(one.changed.sum()),
        "refused": None,
    }


def _count(one: Perturbed, trial: Trial, outputs: Mapping[str, Array]) -> dict[str, Any]:
    before, after = trial.read(trial.before), trial.read(outputs)
    differs = before.differ(after) & one.changed
    rows = int(one.changed.sum())
    return {
        "changed": int(differs.sum()),
        "rate": int(differs.sum()) / rows,
        "not_finite": int((~after.is_finite & one.changed).sum()),
        "examples": [
            {
                "row": int(row) + 1,
                "input": _show(trial.dataset.inputs, row),
                "perturbed": _show(one.inputs, row),
                "answer": before.show(row),
                "answer_perturbed": after.show(row),
            }
            for row in np.flatnonzero(differs)[:_EXAMPLES]
        ],
    }


def _rate(score: Score | None, outputs: Mapping[str, Array]) -> dict[str, float | None]:
    if score is None:
        return {"score": None}
    try:
        value = score(outputs)
    except PipelineError:  # answers that are not finite have no figure
        return {"score": None}
    return {"score": value if np.isfinite(value) else None}


def _show(inputs: Mapping[str, Array], row: int) -> str:
    shown = "; ".join(
        str(inputs[name][row].tolist() if inputs[name].ndim > 1 else inputs[name][row]) for name in inputs
    )
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 3] + "..."
