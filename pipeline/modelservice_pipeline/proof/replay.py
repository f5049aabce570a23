"""Runs a model on the inputs of its proof, and says how its answers differ from the framework's.

A tree asks whether an input is above a threshold. Frameworks hold thresholds in other precisions than ONNX
does, so an input that is the threshold may go the other way, and the answer jumps although nothing is wrong.
Such a row is told apart by asking about its neighbours: where the smallest change of its numbers brings the
framework's answer, the row lies on a threshold.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from modelservice_pipeline.proof.compare import Difference, compare, count_rows, find_scales
from modelservice_pipeline.proof.proof import Array, Case, Proof

Run: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Runs the model once: inputs by name to outputs by name."""

# A scaler before the tree turns one step of an input into a few of what the tree sees.
_STEPS = 4
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
    """

    rows: int
    differences: tuple[Difference, ...]
    on_threshold: int
    worst: str

    @property
    def holds(self) -> bool:
        """The model answers as its framework did."""
        return not self.differences


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
    for row in rows[:_MAX_ROWS]:
        neighbours = _neighbours({name: array[row : row + 1] for name, array in case.inputs.items()})
        count = len(next(iter(neighbours.values())))
        expected = {
            name: np.repeat(array[row : row + 1], count, axis=0) for name, array in case.outputs.items()
        }
        nearby = Case(neighbours, expected)
        off = {difference.row for difference in compare(proof, 0, nearby, run(neighbours), scales)}
        if None not in off and len(off) < count:
            yield row


def _neighbours(row: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of a row: all numbers a little up, all a little down, and each of them alone either way."""
    places = [
        (name, place) for name, array in row.items() if array.dtype.kind == "f" for place in range(array.size)
    ][:_MAX_MOVED]
    count = 2 + 2 * len(places)
    copies = {name: np.repeat(array, count, axis=0) for name, array in row.items()}
    moved = {
        name: (_move(array, 1), _move(array, -1)) for name, array in row.items() if array.dtype.kind == "f"
    }
    for name, (up, down) in moved.items():
        copies[name][0], copies[name][1] = up[0], down[0]
    for index, (name, place) in enumerate(places):
        flat = copies[name].reshape(count, -1)
        for copy, array in zip((2 + 2 * index, 3 + 2 * index), moved[name], strict=True):
            flat[copy, place] = array.ravel()[place]
    return copies


def _move(array: Array, sign: int) -> Array:
    for _ in range(_STEPS):
        array = np.nextafter(array, array.dtype.type(sign * np.inf))
    return array


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
