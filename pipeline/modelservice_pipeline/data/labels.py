"""The column of right answers."""

import math
from collections.abc import Collection

import numpy as np

from modelservice_pipeline.data.cells import Array, parse_float, to_numbers
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
    """Return the labels: texts of a file as they stand there (dtype object), numbers as int64 or float64.

    What a text such as "3.0" means, a name or a number, the model's answers tell. Raises PipelineError.
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
    if any(isinstance(cell, str) for cell in column):
        return np.fromiter((str(cell) for cell in column), object, len(column))
    is_whole = all(isinstance(cell, int) for cell in column)
    return to_numbers(table, name, "int64" if is_whole else "float64", "the label")


def parse_labels(labels: Array) -> Array:
    """Return texts as the numbers that all of them are, int64 or float64; all else as it is.

    Texts such as "007" stay texts: they are names.
    """
    if labels.dtype != object:
        return labels
    if all(is_whole(label) for label in labels):
        return labels.astype(np.int64)
    return labels.astype(np.float64) if all(_is_number(label) for label in labels) else labels


def is_whole(text: str) -> bool:
    """Say whether a text is a whole number of 64 bits, as a program writes it."""
    digits = text.removeprefix("-")
    return digits.isdecimal() and digits.isascii() and len(digits) < 19 and str(int(text)) == text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(parse_float(text)) and not _is_name(text)
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    digits = text.strip().removeprefix("-")
    return len(digits) > 1 and digits.startswith("0") and not digits.startswith(("0.", "0e", "0E"))


def _is_input(name: str, options: DataOptions) -> bool:
    return any(name in names for names in options.inputs.values())
