"""Turns columns of a table into arrays of the type that is needed, or says which cell does not fit."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from modelservice_pipeline.data.table import Table
from modelservice_pipeline.errors import PipelineError

Array = np.ndarray[Any, Any]

_TRUTH = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
_PLAIN_TRUTH = {"true": True, "false": False}
_EMPTY = ("", "na", "n/a", "nan", "null", "none")
"""What programs write where a value is missing, in lower case."""

_MEND = "; mend it, or pass it on with --allow-nan if the model takes missing values"


class _MissingError(ValueError):
    """A cell is empty where a number has to be."""


def to_texts(table: Table, name: str, use: str) -> Array:
    """Return a column as texts, dtype object. Raises PipelineError for values that are none."""
    column = table.get(name, use)
    if column.dtype != object:
        raise PipelineError(f"{table.where(0, name)}: is a number ({column.dtype}), {use} needs texts")
    if all(isinstance(cell, str) and cell.isascii() for cell in column.ravel()):
        return column
    return _convert(table, name, f"{use} needs a text of whole characters", "O", _check_text)


def to_strings(table: Table, name: str, use: str) -> Array:
    """Return the cells of a column as strings, whatever they are: groups and keys; dtype object, [rows]."""
    column = table.get(name, use)
    if column.ndim != 1:
        raise PipelineError(f"{table.where(0, name)}: is not one value, {use} needs one a row")
    return np.fromiter(("" if cell is None else str(cell) for cell in column), object, len(column))


def to_numbers(table: Table, name: str, dtype: str, use: str, allow_nan: bool = False) -> Array:
    """Return a column as numbers of a NumPy type: [rows, ...], the shape that the column has.

    Raises PipelineError for a cell that is no such number, or one that the type cannot hold. Missing cells
    are NaN, and NaN and infinities stay, where `allow_nan` says so and the type is one of floats.
    """
    column = table.get(name, use)
    target = np.dtype(dtype)
    if target.kind == "b":
        return _convert(table, name, f"{use} needs true or false", dtype, _to_bool)
    if target.kind == "f":
        return _to_floats(table, name, target, use, allow_nan)
    if column.dtype != object and column.dtype.kind in "bui":
        _check_range(table, name, column, target, use)
        return column.astype(target)
    needs = f"{use} needs a whole number of {dtype}"
    limits = np.iinfo(target)
    return _convert(table, name, needs, dtype, lambda cell: _to_int(cell, int(limits.min), int(limits.max)))


def _to_floats(table: Table, name: str, target: np.dtype[Any], use: str, allow_nan: bool) -> Array:
    column = table.get(name, use)
    if column.dtype == object:
        parsed = _parse_floats(table, name, use, allow_nan)
    else:
        parsed = column
    with np.errstate(over="ignore"):
        floats = parsed.astype(target)
    if not allow_nan and not np.isfinite(floats).all():
        place = tuple(np.argwhere(~np.isfinite(floats))[0])
        value = column[place[0]] if column.dtype == object else column[place].item()
        where = table.where(int(place[0]), name)
        raise PipelineError(f"{where}: holds {_show(value)}, which is no finite {target}{_MEND}")
    return floats


def _parse_floats(table: Table, name: str, use: str, allow_nan: bool) -> Array:
    column = table.get(name, use)
    if all(_is_plain(cell) for cell in column.ravel()):
        try:
            return column.astype(np.float64)
        except (ValueError, OverflowError):
            pass  # the slow way finds the cell
    needs = f"{use} needs a number"
    return _convert(table, name, needs, "float64", lambda cell: _to_float(cell, allow_nan))


def _check_range(table: Table, name: str, column: Array, target: np.dtype[Any], use: str) -> None:
    limits = np.iinfo(target)
    whole = column.astype(np.int64) if column.dtype.kind == "b" else column
    outside = np.argwhere((whole < limits.min) | (whole > limits.max))
    if len(outside):
        place = tuple(outside[0])
        where, value = table.where(int(place[0]), name), _show(column[place].item())
        raise PipelineError(f"{where}: holds {value}, {use} needs a whole number of {target}")


def _convert(table: Table, name: str, needs: str, dtype: str, convert: Callable[[Any], Any]) -> Array:
    """Convert cell by cell; lists become further dimensions, the same in every row."""
    column = table.columns[name]
    rows = []
    for row, cell in enumerate(column):
        try:
            rows.append(_convert_cell(cell.tolist() if isinstance(cell, np.ndarray) else cell, convert))
        except (TypeError, ValueError, OverflowError) as error:
            hint = _MEND if isinstance(error, _MissingError) else ""
            raise PipelineError(f"{table.where(row, name)}: holds {_show(cell)}, {needs}{hint}") from None
    shapes = [np.shape(row) if isinstance(row, list) else () for row in rows] if _has_lists(rows) else []
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise PipelineError(
                f"{table.where(number, name)}: has the shape {list(shape)}, the rows before have "
                f"{list(shapes[0])}"
            )
    array = np.empty((len(rows), *(shapes[0] if shapes else ())), dtype)
    for number, value in enumerate(rows):
        array[number] = value
    return array


def _convert_cell(cell: Any, convert: Callable[[Any], Any]) -> Any:
    if not isinstance(cell, list):
        return convert(cell)
    converted = [_convert_cell(each, convert) for each in cell]
    np.shape(converted)  # ValueError where lists within it differ in length
    return converted


def _has_lists(rows: list[Any]) -> bool:
    return any(isinstance(row, list) for row in rows)


def _check_text(cell: Any) -> str:
    if not isinstance(cell, str):
        raise TypeError
    cell.encode()  # halves of characters, which JSON can escape, raise a ValueError
    return cell


def _to_float(cell: Any, allow_nan: bool) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in _EMPTY):
        if not allow_nan:
            raise _MissingError
        return math.nan
    return parse_float(_read_truth(cell))


def _read_truth(cell: Any) -> Any:
    """A truth where the cell is one as programs write it into a table of numbers, otherwise the cell."""
    return _PLAIN_TRUTH.get(cell.strip().lower(), cell) if isinstance(cell, str) else cell


def parse_float(cell: Any) -> float:
    """Return a cell as a number; Python's underscores and the digits of other scripts are none in a file.

    Raises ValueError, or TypeError for a list.
    """
    if isinstance(cell, str) and not _is_plain(cell):
        raise ValueError
    return float(cell)


def _is_plain(cell: Any) -> bool:
    """Say whether NumPy reads a cell as a file means it: a number, or a text that may be one."""
    if isinstance(cell, str):
        return cell.isascii() and "_" not in cell
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _to_int(cell: Any, lowest: int, highest: int) -> int:
    cell = _read_truth(cell)
    if isinstance(cell, str):
        number = int(cell) if cell.isascii() and cell.strip().lstrip("+-").isdecimal() else parse_float(cell)
    else:
        number = cell
    if number != int(number) or not lowest <= number <= highest:
        raise ValueError
    return int(number)


def _to_bool(cell: Any) -> bool:
    if isinstance(cell, bool) or cell in (0, 1):
        return bool(cell)
    if isinstance(cell, str) and cell.strip().lower() in _TRUTH:
        return _TRUTH[cell.strip().lower()]
    raise ValueError


def _show(cell: Any) -> str:
    shown = "nothing" if cell is None or (isinstance(cell, str) and not cell) else repr(cell)
    return shown if len(shown) <= 60 else shown[:57] + "..."
