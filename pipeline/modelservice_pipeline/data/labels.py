"""The column of right answers."""

from collections.abc import Collection
from typing import Any

import numpy as np

from modelservice_pipeline.data.cells import Array, to_numbers
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.table import Table
from modelservice_pipeline.errors import PipelineError

_USUAL, _WEAK = ("label", "target", "class"), "y"
"""The weak name is one only where there is no other: beside x it is a coordinate."""


def find_label(table: Table, options: DataOptions, features: Collection[str] = ()) -> str | None:
    """Return the name of the column, or None where there is none and none is needed.

    A column that the model names as a feature is not taken for one. Raises PipelineError.
    """
    if options.label is not None:
        table.get(options.label, "the label")
        return options.label
    free = [name for name in table.columns if not (_is_input(name, options) or name in features)]
    found = [name for name in free if name.casefold() in _USUAL]
    found = found or [name for name in free if name.casefold() == _WEAK]
    if len(found) == 1:
        return found[0]
    if not options.needs_label and not found:
        return None
    why = f"it could be {' or '.join(found)}" if found else f"there is no {', '.join((*_USUAL, _WEAK))}"
    there = ", ".join(table.columns)
    raise PipelineError(
        f"{table.path}: which column is the label? {why}; say it with --label; its columns are: {there}"
    )


def read_labels(table: Table, name: str) -> Array:
    """Return the labels: int64 for whole numbers, float64 for others, else texts (dtype object).

    Texts such as "007" stay texts: they are names. Raises PipelineError.
    """
    column = table.get(name, "the label")
    if column.dtype == object:
        return _read_cells(table, name)
    if column.dtype.kind == "f":
        return to_numbers(table, name, "float64", "the label")
    return column.astype(np.int64)


def _read_cells(table: Table, name: str) -> Array:
    column = table.get(name, "the label")
    for row, cell in enumerate(column):
        if cell is None or cell == "" or isinstance(cell, dict):
            raise PipelineError(f"{table.where(row, name)}: the label is missing")
    if any(isinstance(cell, list) for cell in column):
        return to_numbers(table, name, "float64", "the label")
    if all(_is_whole(cell) for cell in column):
        return to_numbers(table, name, "int64", "the label")
    if all(_is_number(cell) for cell in column):
        return to_numbers(table, name, "float64", "the label")
    return np.fromiter((str(cell) for cell in column), object, len(column))


def _is_whole(cell: Any) -> bool:
    if isinstance(cell, str):
        digits = cell.removeprefix("-")
        return digits.isdecimal() and digits.isascii() and len(digits) < 19 and str(int(cell)) == cell
    return isinstance(cell, int)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, str):
        try:
            return str(float(cell)) not in ("nan", "inf", "-inf") and not _is_name(cell)
        except ValueError:
            return False
    return isinstance(cell, int | float)


def _is_name(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    return len(digits) > 1 and digits.startswith("0") and not digits.startswith(("0.", "0e", "0E"))


def _is_input(name: str, options: DataOptions) -> bool:
    return any(name in names for names in options.inputs.values())
