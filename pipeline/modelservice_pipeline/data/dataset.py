"""Rows with what is known about them: what every step of the pipeline measures on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Dataset:
    """Rows of inputs, labels and the columns that slice them. The first dimension of every array is the rows.

    Attributes:
        name: What a report calls it: the name of its file.
        inputs: Arrays by the names of the model's inputs, in the types that it takes; texts are dtype object.
        labels: What the model should answer, or None. Texts of the file are dtype object also where they look
            like numbers (`parse_labels`), classes int64, numbers float64; [rows] or, with several answers a
            row, [rows, answers].
        slices: Columns of texts (dtype object, [rows]) by name, for figures per group.
        keys: What a row is about (dtype object, [rows]); rows of one key stay in one part of a split.
        sha256: Of the file, as hexadecimal digits.
        columns: The names of the columns that each input was made of.
        notes: Sentences on how the file was read, that a report has to tell.
    """

    name: str
    inputs: Mapping[str, Array]
    labels: Array | None = None
    slices: Mapping[str, Array] = field(default_factory=dict)
    keys: Array | None = None
    sha256: str = ""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def describe(self) -> dict[str, Any]:
        """Return what a report says of it, as JSON can: also which columns went where."""
        columns = {name: list(names) for name, names in self.columns.items()}
        return {"name": self.name, "sha256": self.sha256, "rows": len(self), "columns": columns}

    def take(self, rows: Array) -> "Dataset":
        """Return the rows whose numbers (or whose mask) these are."""
        return replace(
            self,
            inputs={name: array[rows] for name, array in self.inputs.items()},
            labels=None if self.labels is None else self.labels[rows],
            slices={name: array[rows] for name, array in self.slices.items()},
            keys=None if self.keys is None else self.keys[rows],
        )


def compute_positions(dataset: Dataset) -> Array:
    """Return a number in [0, 1) for each row, by the hash of its key: float64 [rows].

    The same key has the same position in every run, on every machine and in every file; so a span of
    positions is a part of the data that never leaks into another. Without keys, the row's inputs are its key.
    """
    keys = dataset.keys
    texts = _row_texts(dataset) if keys is None else [str(key).encode() for key in keys]
    heads = [int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 11 for text in texts]
    return np.array(heads, np.float64) / 2.0**53


def take_part(dataset: Dataset, first: float, last: float) -> Dataset:
    """Return the rows whose positions are at least `first` and below `last`."""
    positions = compute_positions(dataset)
    return dataset.take(np.flatnonzero((positions >= first) & (positions < last)))


def take_sample(dataset: Dataset, count: int, seed: int) -> Dataset:
    """Return `count` rows chosen at random, in their order; all where there are no more."""
    if count >= len(dataset):
        return dataset
    chosen = np.random.default_rng(seed).choice(len(dataset), count, replace=False)
    return dataset.take(np.sort(chosen))


def _row_texts(dataset: Dataset) -> list[bytes]:
    arrays = [dataset.inputs[name] for name in sorted(dataset.inputs)]
    return [b"\0".join(_to_bytes(array[row]) for array in arrays) for row in range(len(dataset))]


def _to_bytes(value: Any) -> bytes:
    array = np.asarray(value)
    if array.dtype == object:
        return "\0".join(str(text) for text in array.ravel()).encode()
    return array.tobytes()
