"""Sums of weights by group, for many weightings at once."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


beyond_numbers = np.errstate(over="ignore", invalid="ignore")
"""Decorates what computes figures: one beyond all numbers is infinite or NaN; a report shows none."""


def sum_by_group(weights: Array, groups: Array, count: int) -> Array:
    """Return the sum of each row of weights over each group.

    Args:
        weights: [weightings, rows].
        groups: The group of each row, int [rows]; those below 0 belong to none.
        count: How many groups there are.

    Returns:
        [weightings, count], float64.
    """
    sums = np.zeros((len(weights), count))
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    if len(order):
        ordered = groups[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        sums[:, ordered[starts]] = np.add.reduceat(weights[:, order], starts, axis=1, dtype=np.float64)
    return sums


def divide(numerators: Array, denominators: Array, otherwise: float = np.nan) -> Array:
    """Return quotients, and `otherwise` where one divides by zero."""
    numerators, denominators = np.broadcast_arrays(
        np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    )
    quotients = np.full(numerators.shape, otherwise)
    np.divide(numerators, denominators, out=quotients, where=denominators != 0)
    return quotients


def encode(values: Array, classes: list[Any]) -> Array:
    """Return the number of each value's class, int64 [rows]; -1 for a value that is none of them."""
    numbers = {value: number for number, value in enumerate(classes)}
    return np.fromiter((numbers.get(value, -1) for value in values.tolist()), np.int64, len(values))
