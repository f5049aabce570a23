"""Numbers with noise, and numbers at the edges of their type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NumberPerturbation:
    """A change of rows of numbers.

    Attributes:
        name: As one types it. title: What it does, for a report. is_boundary: Whether it leaves what data
        looks like, so that a changed answer says nothing bad. change: From rows, a generator and the share
        of the spread, to rows of the same type and shape, or None
            where the type has no such numbers.
    """

    name: str
    title: str
    is_boundary: bool
    change: Callable[[Array, np.random.Generator, float], Array | None]


def add_noise(rows: Array, generator: np.random.Generator, share: float) -> Array:
    """Add Gaussian noise of a share of the standard deviation that each place of a row has over all rows.

    Whole numbers are rounded, and stay within the least and the greatest of the data.
    """
    spread = np.nan_to_num(np.nanstd(rows.astype(np.float64), axis=0))
    noisy = rows + generator.normal(0, 1, rows.shape) * spread * share
    if rows.dtype.kind in "iu":
        noisy = np.clip(np.rint(noisy), rows.min(), rows.max())
    typed: Array = noisy.astype(rows.dtype)
    return typed


def replace_by_mean(rows: Array, generator: np.random.Generator, share: float) -> Array:  # noqa: ARG001 - one place
    """Write the mean over all rows at one place of each row, as if its value were not known."""
    mean = np.nan_to_num(np.nanmean(rows.astype(np.float64), axis=0))
    mean = np.rint(mean) if rows.dtype.kind in "iu" else mean
    return _put(rows, generator, mean.astype(rows.dtype))


def _at_edge(
    pick: Callable[[np.dtype[Any]], Any],
) -> Callable[[Array, np.random.Generator, float], Array | None]:
    def change(rows: Array, generator: np.random.Generator, share: float) -> Array | None:  # noqa: ARG001 - one place
        value = pick(rows.dtype)
        return None if value is None else _put(rows, generator, np.full(rows.shape[1:], value, rows.dtype))

    return change


def _put(rows: Array, generator: np.random.Generator, values: Array) -> Array:
    """Return rows with one place each, chosen at random, taken from `values`."""
    flat = rows.reshape(len(rows), -1).copy()
    places = generator.integers(0, flat.shape[1], len(rows))
    flat[np.arange(len(rows)), places] = values.reshape(-1)[places]
    return flat.reshape(rows.shape)


def _limits(dtype: np.dtype[Any]) -> Any:
    return np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)


def _if_float(value: float) -> Callable[[np.dtype[Any]], float | None]:
    return lambda dtype: value if dtype.kind == "f" else None


NUMBER_PERTURBATIONS: tuple[NumberPerturbation, ...] = (
    NumberPerturbation("noise", "noise of a share of each column's deviation", False, add_noise),
    NumberPerturbation("mean", "one value replaced by its mean", False, replace_by_mean),
    NumberPerturbation("zero", "one value is 0", True, _at_edge(lambda _: 0)),
    NumberPerturbation(
        "minus-one", "one value is -1", True, _at_edge(lambda dtype: None if dtype.kind == "u" else -1)
    ),
    NumberPerturbation(
        "largest", "one value is the largest of its type", True, _at_edge(lambda dtype: _limits(dtype).max)
    ),
    NumberPerturbation(
        "smallest", "one value is the smallest of its type", True, _at_edge(lambda dtype: _limits(dtype).min)
    ),
    NumberPerturbation(
        "tiny",
        "one value is the least above 0",
        True,
        _at_edge(lambda dtype: np.finfo(dtype).smallest_subnormal if dtype.kind == "f" else None),
    ),
    NumberPerturbation("nan", "one value is NaN", True, _at_edge(_if_float(np.nan))),
    NumberPerturbation("infinity", "one value is infinite", True, _at_edge(_if_float(np.inf))),
)
"""In the order of a report."""
