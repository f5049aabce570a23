"""What a model decides of each row, where there are no labels to compare it with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.classification import Array
from modelservice_pipeline.evaluate.outputs import Reading, find_outputs

_MOVED = 0.1
"""A number has changed when it moved by more than this share of the deviation of the answers."""


@dataclass(frozen=True)
class Decisions:
    """Decisions of rows.

    Attributes:
        values: Classes, texts, or numbers; [rows] or, for several numbers, [rows, answers].
        is_finite: Whether all numbers of the answer are finite, bool [rows].
    """

    values: Array
    is_finite: Array

    def differ(self, other: "Decisions") -> Array:
        """Say for each row whether the other decision is another one, bool [rows]; NaN is another one."""
        if self.values.dtype.kind != "f":
            differs = np.asarray(self.values != other.values)
        else:
            spread = np.nanstd(self.values, axis=0)
            with np.errstate(invalid="ignore"):
                differs = ~(np.abs(self.values - other.values) <= _MOVED * spread)
        found: Array = differs.reshape(len(self.values), -1).any(axis=1) | (self.is_finite != other.is_finite)
        return found

    def show(self, row: int) -> Any:
        """Return a decision as JSON can say it."""
        value = self.values[row]
        if self.values.dtype.kind != "f":
            return value.item() if isinstance(value, np.generic) else value
        numbers = np.asarray(value).ravel()
        return [float(number) if np.isfinite(number) else None for number in numbers][:8]


def read_decisions(outputs: Mapping[str, Array], reading: Reading) -> Decisions:
    """Return the decisions among a model's outputs. Raises PipelineError where no output holds one.

    A class or text that the model answers counts; of numbers per class the greatest does; one number a row
    is a probability that is at least a half or not, else a number.
    """
    found = find_outputs(outputs, reading)
    finite = np.ones(len(next(iter(outputs.values()))), bool)
    for array in found.outputs.values():
        if array.dtype.kind == "f":
            finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if found.said is not None:
        return Decisions(found.outputs[found.said], finite)
    if found.scores is None:
        raise PipelineError(
            "no output holds a class, a text or a number of each row; choose one with --output-name"
        )
    scores = found.outputs[found.scores]
    if reading.task == "regression":
        return Decisions(scores, finite)
    if scores.ndim == 2:
        return Decisions(np.nan_to_num(scores, nan=-np.inf).argmax(axis=1), finite)
    is_share = bool(((scores >= 0) & (scores <= 1) | ~finite).all())
    return Decisions((scores >= 0.5).astype(np.int64) if is_share else scores, finite)
