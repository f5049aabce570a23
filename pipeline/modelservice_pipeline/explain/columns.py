"""A row of a table as columns that can be exchanged for those of other rows; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.words import Masks
from modelservice_pipeline.predict.predictor import Array, Tensors

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Columns:
    """A row, and a background: rows of the same inputs that say what is usual.

    Attributes:
        row: Arrays of one row.
        background: Arrays of at least one row.
        features: A name for each number or text of a row, over all inputs.
    """

    row: Tensors
    background: Tensors
    features: tuple[str, ...]

    @property
    def background_rows(self) -> int:
        """How many rows the background has."""
        return len(next(iter(self.background.values())))

    @property
    def values(self) -> tuple[str, ...]:
        """What each feature is in the row, as text."""
        return tuple(_show(value) for array in self.row.values() for value in array[0].flat)

    def differing(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Say which features differ from the row anywhere in the background; the others can move nothing."""
        parts = [
            ~_equal(self.background[name], array).reshape(self.background_rows, -1).all(axis=0)
            for name, array in self.row.items()
        ]
        return np.concatenate(parts)

    def exchanged(self, masks: Masks) -> dict[str, Array]:
        """Return each variant over the whole background: row s * B + b is mask s over background row b.

        Where a mask is True the value is the row's, elsewhere that of the background row.
        """
        count, rows = len(masks), self.background_rows
        made, first = {}, 0
        for name, array in self.row.items():
            size = array[0].size
            keeps = np.repeat(masks[:, first : first + size], rows, axis=0)
            usual = np.tile(self.background[name].reshape(rows, size), (count, 1))
            made[name] = np.where(keeps, array.reshape(1, size), usual).reshape(
                count * rows, *array.shape[1:]
            )
            first += size
        return made

    def drawn(self, generator: np.random.Generator, count: int) -> tuple[dict[str, Array], Array]:
        """Return rows with each value drawn from its column of the background, and what is like the row.

        The second is a table of booleans, [rows, features]: whether the value lies in the same quarter of
        the background's column as the row's, or is equal to it where the column has texts or few values. A
        missing number is like missing ones alone.
        The first of the rows is the row itself.
        """
        made, alike = {}, []
        for name, array in self.row.items():
            size = array[0].size
            usual = self.background[name].reshape(self.background_rows, size)
            picks = generator.integers(self.background_rows, size=(count - 1, size))
            values = np.concatenate([array.reshape(1, size), np.take_along_axis(usual, picks, axis=0)])
            alike.append(_alike(values, usual))
            made[name] = values.reshape(count, *array.shape[1:])
        return made, np.concatenate(alike, axis=1)


def name_features(row: Tensors, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Name the values of a row: as given, else after the inputs, with a position where one has several.

    Raises PipelineError where the number of names is another.
    """
    found = [
        name if array[0].size == 1 else f"{name}[{','.join(map(str, place))}]"
        for name, array in row.items()
        for place in np.ndindex(array.shape[1:])
    ]
    if names is None:
        return tuple(found)
    if len(names) != len(found):
        raise PipelineError(f"there are {len(names)} names for {len(found)} values of a row: give as many")
    return tuple(names)


def _alike(values: Array, usual: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Compare all rows of `values` with the first, column by column."""
    made = np.empty(values.shape, dtype=bool)
    for column in range(values.shape[1]):
        own = values[:, column]
        edges = _quartiles(usual[:, column])
        places = own if edges is None else _places(edges, own)
        made[:, column] = _equal(places, places[:1])
    return made


def _quartiles(column: Array) -> Array | None:
    """Return what divides the values of a column into quarters, None where they are few, or texts."""
    if column.dtype.kind not in "iuf":
        return None
    values = column[np.isfinite(column)]
    if len(np.unique(values)) <= 4:
        return None
    return np.unique(np.quantile(values, [0.25, 0.5, 0.75]))


def _places(edges: Array, values: Array) -> Array:
    """Return the quarter of each value; what is missing is in one of its own."""
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values))


def _equal(left: Array, right: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    equal = np.asarray(left == right, dtype=bool)
    if left.dtype.kind == "f":
        equal |= np.isnan(left) & np.isnan(right)
    return equal


def _show(value: Any) -> str:
    text = (
        value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, np.floating) else str(value)
    )
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
