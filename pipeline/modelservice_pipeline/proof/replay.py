"""Runs a model on the inputs of its proof, and says how its answers differ from the framework's.

A tree asks whether an input is above a threshold. Frameworks hold thresholds in other precisions than ONNX
does, so an input that is the threshold may go the other way, and the answer jumps although nothing is wrong.
Such a row is told apart by asking about its neighbours: where the smallest changes of its numbers bring
answers with the framework's among or between them, the row lies on a threshold; between them, for a forest
adds up trees, of which each may go its way.
"""

import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from modelservice_pipeline.proof.compare import Difference, compare, count_rows, find_scales
from modelservice_pipeline.proof.cover import find_gaps
from modelservice_pipeline.proof.proof import Array, Case, Proof

Run: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Runs the model once: inputs by name to outputs by name."""

# A scaler before the tree turns one step of an input into a few of what the tree sees.
_STEPS = 4
# Neighbours that have some numbers up and some down: a row may lie on thresholds of several.
_MIXED = 32
# Rows whose neighbours are asked, and numbers that are moved one by one: enough to explain what is rare.
_MAX_ROWS = 256
_MAX_MOVED = 256
_MAX_SHOWN = 300


@dataclass(frozen=True)
class Verdict:
    """What a replay found.

    Attributes:
        rows: How many rows, or runs where there are no rows, were compared.
        differences: What is not as expected; the worst first.
        on_threshold: How many rows differ because an input lies on a threshold: no fault.
        worst: The differences' first with its input, as a sentence; empty where there is none.
        gaps: What keeps the proof from being one of this model; nothing was compared where there are some.
    """

    rows: int
    differences: tuple[Difference, ...]
    on_threshold: int
    worst: str
    gaps: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """The model answers as its framework did."""
        return not self.differences and not self.gaps


def verify(proof: Proof, inputs: Collection[str], outputs: Collection[str], run: Run) -> Verdict:
    """Replay a proof of a model with these inputs and outputs. Raises what `run` raises."""
    gaps = find_gaps(proof, inputs, outputs)
    return Verdict(0, (), 0, "", tuple(gaps)) if gaps else replay(proof, run)


def replay(proof: Proof, run: Run) -> Verdict:
    """Compare every answer with the expected one. Raises what `run` raises."""
    scales = find_scales(proof)
    rows, on_threshold, differences = 0, 0, list[Difference]()
    for index, case in enumerate(proof.cases):
        rows += count_rows(case) or 1
        found = list(compare(proof, index, case, run(case.inputs), scales))
        if found and proof.has_thresholds:
            explained = set(_rows_on_thresholds(proof, case, found, run, scales))
            on_threshold += len(explained)
            found = [difference for difference in found if difference.row not in explained]
        differences.extend(found)
    differences.sort(key=lambda difference: -difference.excess)
    worst = _describe(differences[0], proof.cases[differences[0].case]) if differences else ""
    return Verdict(rows, tuple(differences), on_threshold, worst)


def _rows_on_thresholds(
    proof: Proof, case: Case, found: list[Difference], run: Run, scales: Mapping[str, float]
) -> Iterator[int]:
    rows = sorted({difference.row for difference in found if difference.row is not None})
    usual = {name: _usual(proof, name, array) for name, array in case.inputs.items() if _is_real(array)}
    for row in rows[:_MAX_ROWS]:
        inputs = {name: array[row : row + 1] for name, array in case.inputs.items()}
        expected = {name: array[row : row + 1] for name, array in case.outputs.items()}
        neighbours = _neighbours(inputs, {name: _step(inputs[name], usual[name]) for name in usual})
        answers = run(neighbours)
        nearest = {
            name: _nearest(array, np.asarray(answers[name]))
            for name, array in expected.items()
            if name in answers
        }
        if not any(compare(proof, 0, Case(inputs, expected), nearest, scales)):
            yield row


def _is_real(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def _usual(proof: Proof, name: str, array: Array) -> Array:
    """How large each number of a row is on average: what a scaler takes away from it is of that size."""
    sizes = [
        np.mean(np.abs(other), axis=0, where=np.isfinite(other))
        for other in (case.inputs[name] for case in proof.cases if name in case.inputs)
        if other.shape[1:] == array.shape[1:] and np.isfinite(other).any(axis=0).all()
    ]
    return np.max(sizes, axis=0).astype(array.dtype) if sizes else np.zeros(array.shape[1:], array.dtype)


def _step(row: Array, usual: Array) -> Array:
    """How far a row's numbers are moved: some steps of the number, or of its column's usual one."""
    step = _STEPS * np.spacing(np.maximum(np.abs(row), usual))
    return np.asarray(np.where(np.isfinite(row), step, 0), row.dtype)


def _neighbours(row: Mapping[str, Array], steps: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of a row: itself, all numbers up, all down, each alone either way, and some up and some down."""
    places = [(name, place) for name in steps for place in range(row[name].size)][:_MAX_MOVED]
    count = 3 + 2 * len(places) + _MIXED
    random = np.random.default_rng(0)
    signs = {name: np.zeros((count, row[name].size), row[name].dtype) for name in steps}
    for moves in signs.values():
        moves[1], moves[2] = 1, -1
        moves[-_MIXED:] = random.integers(-1, 2, (_MIXED, moves.shape[1]))
    for index, (name, place) in enumerate(places):
        signs[name][3 + 2 * index : 5 + 2 * index, place] = 1, -1
    copies = {name: np.repeat(array, count, axis=0) for name, array in row.items()}
    for name, moves in signs.items():
        copies[name] += moves.reshape(copies[name].shape) * steps[name]
    return copies


def _nearest(expected: Array, answers: Array) -> Array:
    """What is expected where the answers have it among or between them, otherwise what comes closest."""
    if answers.shape[1:] != expected.shape[1:] or not len(answers):
        return answers
    if _is_real(answers):
        return np.clip(expected, answers.min(axis=0), answers.max(axis=0)).astype(answers.dtype)
    return np.where((answers == expected).any(axis=0), expected, answers[:1])


def _describe(difference: Difference, case: Case) -> str:
    excess = f", {difference.excess:.3g} times the tolerance" if np.isfinite(difference.excess) else ""
    where = f"case {difference.case}" + ("" if difference.row is None else f", row {difference.row}")
    inputs = ", ".join(
        f"{name}={_show(array if difference.row is None else array[difference.row])}"
        for name, array in case.inputs.items()
    )
    return (
        f"output {difference.output!r} of {where} is {_show(difference.actual)} instead of "
        f"{_show(difference.expected)}{excess}; the input is {_shorten(inputs)}"
    )


def _show(value: object) -> str:
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    return _shorten(np.array2string(array, max_line_width=10**6, threshold=12, precision=7, separator=", "))


def _shorten(text: str) -> str:
    return textwrap.shorten(text, _MAX_SHOWN, placeholder=" ...")
