"""Groups of rows by the values of a column."""

from itertools import pairwise

import numpy as np

from modelservice_pipeline.evaluate.classification import Array

_MOST_GROUPS = 30
_QUARTILES = 4


def group_values(values: Array) -> dict[str, Array]:
    """Return masks of rows by value, the largest group first; many different numbers make four ranges.

    Of many different texts the largest groups stay, and the rest is one.
    """
    names, counts = np.unique(values.astype(str), return_counts=True)
    if len(names) > _MOST_GROUPS:
        numbers = _parse_numbers(values)
        return _cut(numbers) if numbers is not None else _keep_largest(values, names, counts)
    order = np.argsort(-counts, kind="stable")
    return {_name(names[at]): values == names[at] for at in order}


def _keep_largest(values: Array, names: Array, counts: Array) -> dict[str, Array]:
    largest = names[np.argsort(-counts, kind="stable")[: _MOST_GROUPS - 1]].tolist()
    groups = {_name(name): values == name for name in largest}
    kept = set(largest)
    return groups | {"(others)": np.array([value not in kept for value in values.tolist()])}


def _cut(numbers: Array) -> dict[str, Array]:
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _QUARTILES + 1)))
    groups = {}
    for number, (first, last) in enumerate(pairwise(edges.tolist())):
        is_last = number == len(edges) - 2
        inside = (numbers >= first) & ((numbers <= last) if is_last else (numbers < last))
        groups[f"{first:g} to {last:g}"] = inside
    missing = np.isnan(numbers)
    return groups | ({"(empty)": missing} if missing.any() else {})


def _parse_numbers(values: Array) -> Array | None:
    try:
        return np.array([float(value) if value != "" else np.nan for value in values.tolist()])
    except ValueError:
        return None


def _name(value: str) -> str:
    return str(value) or "(empty)"
