"""What is explained: one number of what a model answers, for rows that a method makes up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.predict.predictor import Array, Predictor, Tensors

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Target:
    """One number of an answer: the output's name, which of its numbers, from 0, and its class if known."""

    output: str
    index: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.output}[{self.index}]" + (f" ({self.name})" if self.name else "")


class Subject:
    """A model and the target: rows in, one number for each out. Counts the rows."""

    def __init__(self, predictor: Predictor, target: Target, most_rows: int | None = None) -> None:
        self._predictor, self.target = predictor, target
        self._most_rows = most_rows
        self.rows = 0

    def __call__(self, rows: Tensors) -> Numbers:
        """Return the target's number for each row. Raises PipelineError, also for NaN and infinity."""
        self._count(len(next(iter(rows.values()))))
        answers = self._predictor.predict(rows)
        scores = _as_columns(answers[self.target.output])[:, self.target.index].astype(np.float64)
        if not np.isfinite(scores).all():
            raise PipelineError(
                f"the model answers NaN or infinity as {self.target} for a variant of the input: "
                "such an answer cannot be explained"
            )
        return scores

    def _count(self, rows: int) -> None:
        self.rows += rows
        if self._most_rows is not None and self.rows > self._most_rows:
            raise PipelineError(
                f"the explanation asks more than {self._most_rows} rows: use fewer samples, a smaller "
                "background, or another method"
            )


def choose_target(predictor: Predictor, row: Tensors, output: str | None, index: int | None) -> Target:
    """Find the number to explain in what the model answers to one row. Raises PipelineError.

    Args:
        predictor: Who is asked.
        row: The input: arrays of one row.
        output: The output's name; by default the first one with fractions, else the first one with numbers.
        index: Which of the output's numbers; by default the largest one, as of probabilities.
    """
    answers = predictor.predict(row)
    name = _choose_output([port.name for port in predictor.outputs], answers, output)
    numbers = _as_columns(answers[name])[0]
    if index is None:
        index = int(np.nan_to_num(numbers.astype(np.float64), nan=-np.inf).argmax())
    if not 0 <= index < len(numbers):
        raise PipelineError(
            f"output {name!r} has {len(numbers)} numbers for a row: give an index from 0 to "
            f"{len(numbers) - 1}"
        )
    names = next(port.names for port in predictor.outputs if port.name == name)
    return Target(name, index, names[index] if len(names) == len(numbers) else "")


def _choose_output(order: Sequence[str], answers: Tensors, wanted: str | None) -> str:
    numeric = {name: answers[name].dtype.kind in "biuf" for name in order if name in answers}
    if wanted is not None:
        if not numeric.get(wanted, False):
            raise PipelineError(
                f"output {wanted!r} is not there or has no numbers for rows: choose of {_list(numeric)}"
            )
        return wanted
    fractions = [name for name, is_numeric in numeric.items() if is_numeric and _is_float(answers[name])]
    found = fractions or [name for name, is_numeric in numeric.items() if is_numeric]
    if not found:
        raise PipelineError(
            "the model answers no numbers: only outputs such as probabilities and values can be explained"
        )
    return found[0]


def _is_float(array: Array) -> bool:
    return bool(array.dtype.kind == "f")


def _list(numeric: dict[str, bool]) -> str:
    return ", ".join(repr(name) for name, is_numeric in numeric.items() if is_numeric) or "none"


def _as_columns(array: Array) -> Array:
    return array.reshape(len(array), -1)
