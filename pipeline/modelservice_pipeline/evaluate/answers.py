"""What a model answered, as the metrics want it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Answers:
    """The answers to rows.

    Attributes:
        predicted: What the model says, in the type of the labels: classes, numbers or texts. [rows], and of
            several numbers a row [rows, answers].
        probabilities: Of the classes, [rows, classes], or None.
        classes: What the columns of `probabilities` mean, or None without them.
    """

    predicted: Array
    probabilities: Array | None = None
    classes: Array | None = None

    def __len__(self) -> int:
        return len(self.predicted)

    def take(self, rows: Array) -> "Answers":
        """Return the answers to the rows whose numbers (or whose mask) these are."""
        chosen = None if self.probabilities is None else self.probabilities[rows]
        return Answers(self.predicted[rows], chosen, self.classes)


def choose_positive(labels: Array, *answers: Answers) -> Any:
    """Return the class that precision, recall and F1 are about: of two classes the greater.

    As scikit-learn does of 0 and 1. None where there are more: then they are means over the classes.
    """
    seen = [labels, *(one.predicted for one in answers)]
    seen += [one.classes for one in answers if one.classes is not None]
    classes = distinct(*seen)
    return classes[-1] if len(classes) <= 2 else None


def distinct(*arrays: Array) -> list[Any]:
    """Return the values of all arrays, each once, sorted. Texts come after numbers."""
    values = {value for array in arrays for value in array.ravel().tolist()}
    return sorted(values, key=lambda value: (isinstance(value, str), value))
