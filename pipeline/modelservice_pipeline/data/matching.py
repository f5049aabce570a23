"""Finds the columns that a model's inputs mean, and gives them the shape and type that it takes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from modelservice_pipeline.data.cells import Array, to_numbers, to_texts
from modelservice_pipeline.data.features import find_features, fold_name, take_features
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.table import Table
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import Port


def match_columns(
    table: Table, ports: Sequence[Port], options: DataOptions, taken: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the columns of every input.

    An input takes the columns that the options name for it, else the column of its own name (letter case and
    punctuation aside: "sepal length (cm)" is `sepal_length__cm_`), else, being the only one without a column,
    all columns that are left: one as it is, several as [rows, columns]. An input that names its features
    takes the columns of their names, in its own order.

    Args:
        table: The file.
        ports: The model's inputs.
        options: What the user said.
        taken: Columns with another use: label, key, slices. Slices are inputs too where the input wants them.
    """
    unknown = set(options.inputs) - {port.name for port in ports}
    if unknown:
        raise PipelineError(
            f"the model has no input {_name(unknown)}; its inputs are: {_name(p.name for p in ports)}"
        )
    chosen = {port.name: _find_columns(table, port, options, taken) for port in ports}
    used = {name for names in chosen.values() for name in names}
    left = [name for name in table.columns if name not in {*used, *taken, *options.ignored}]
    waiting = [port for port in ports if not chosen[port.name]]
    if waiting:
        port = waiting[0]
        if len(waiting) == 1 and port.names and not _is_whole_row(table, left):
            also = [name for name in taken[1:] if name not in options.ignored]
            chosen[port.name] = take_features(table, port, left, also)
        else:
            chosen[port.name] = _take_rest(table, waiting, left, options)
    return chosen


def build_inputs(
    table: Table, ports: Sequence[Port], columns: Mapping[str, Sequence[str]], options: DataOptions
) -> dict[str, Array]:
    """Return an array for every input, of its columns."""
    return {port.name: _build(table, port, columns[port.name], options) for port in ports}


def _find_columns(table: Table, port: Port, options: DataOptions, taken: Sequence[str]) -> tuple[str, ...]:
    if port.name in options.inputs:
        return _in_order(port, options.inputs[port.name])
    fitting = [name for name in table.columns if name not in taken[:1] and _may_be(table.columns[name], port)]
    if port.name in fitting:
        return (port.name,)
    alike = [name for name in fitting if fold_name(name) == fold_name(port.name)]
    return tuple(alike) if len(alike) == 1 else ()


def _in_order(port: Port, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return columns that the user names in the order of the model's features, where they are those."""
    found = tuple(name for name in find_features(port, names) if name is not None)
    return found if len(found) == len(port.names) and set(found) == set(names) else names


def _is_whole_row(table: Table, left: Sequence[str]) -> bool:
    """Say whether the only column that is left has several values a row."""
    if len(left) != 1:
        return False
    column = table.columns[left[0]]
    return column.ndim > 1 or isinstance(column[0], list)


def _may_be(column: Array, port: Port) -> bool:
    """Say whether a column can be the whole input: one value a row is not, where the input takes several."""
    is_value = column.ndim == 1 and not isinstance(column[0], list)
    return not is_value or len(port.shape) < 2 or _row_size(port) == 1


def _take_rest(
    table: Table, waiting: Sequence[Port], left: Sequence[str], options: DataOptions
) -> tuple[str, ...]:
    port = waiting[0]
    if len(waiting) > 1:
        raise PipelineError(
            f"{table.path} has no columns named as the model's inputs {_name(p.name for p in waiting)}; "
            f"name them: --input {port.name}=COLUMN, or give one value for all rows: --constant "
            f"{port.name}=VALUE; its columns are: {_name(table.columns)}"
        )
    extended = [name for name in table.columns if name in left or name in options.slices]
    if _row_size(port) == len(extended):
        return tuple(extended)
    if not left:
        raise PipelineError(
            f"{table.path} has no column left for the model's input {port.name}; name it: --input "
            f"{port.name}=COLUMN, or give one value for all rows: --constant {port.name}=VALUE; its columns "
            f"are: {_name(table.columns)}"
        )
    size = _row_size(port)
    if port.dtype != "object" and len(left) > 1 and size not in (None, len(left)):
        raise PipelineError(
            f"the model's input {port.name} takes {size} numbers a row, and {table.path} has "
            f"{len(left)} columns: {_name(left)}; leave some out with --ignore COLUMN, or name them: --input "
            f"{port.name}=COLUMN,COLUMN"
        )
    if port.dtype == "object" and len(left) > 1 and _row_size(port) != len(left):
        raise PipelineError(
            f"the model's input {port.name} takes one text, and {table.path} has several columns: "
            f"{_name(left)}; name it: --input {port.name}=COLUMN"
        )
    return tuple(left)


def _build(table: Table, port: Port, names: Sequence[str], options: DataOptions) -> Array:
    columns = [_read_column(table, name, port, options) for name in names]
    if len(columns) == 1:
        array = columns[0]
    elif any(column.ndim != 1 for column in columns):
        raise PipelineError(
            f"input {port.name}: of several columns each needs one value a row: {_name(names)}"
        )
    else:
        array = np.stack(columns, axis=1)
    return fit_shape(array, port)


def _read_column(table: Table, name: str, port: Port, options: DataOptions) -> Array:
    use = f"the model's input {port.name}"
    if port.dtype == "object":
        return to_texts(table, name, use)
    if port.dtype.startswith(("tensor", "seq", "map", "optional", "sparse")):
        raise PipelineError(f"{use} has the type {port.dtype}, which files of rows cannot hold")
    numbers = to_numbers(table, name, port.dtype, use, options.allow_nan)
    if options.divide_by is not None and numbers.dtype.kind == "f":
        return (numbers / options.divide_by).astype(numbers.dtype)
    return numbers


def fit_shape(array: Array, port: Port) -> Array:
    """Return rows in the shape that an input takes; values never move, only dimensions of 1 come and go.

    A flat row is cut to the sizes of the input where it fixes them all. Raises PipelineError.
    """
    wanted, found = port.shape[1:], array.shape[1:]
    if not port.shape or _fits(found, wanted):
        return array
    plain = tuple(size for size in found if size != 1)
    if all(size is not None for size in wanted):
        sizes = tuple(size for size in wanted if size is not None)
        is_flat = len(found) == 1 and found[0] == math.prod(sizes)
        if is_flat or plain == tuple(size for size in sizes if size != 1):
            return array.reshape(len(array), *sizes)
    for position in range(len(wanted) + 1):
        widened = (*found[:position], 1, *found[position:])
        if _fits(widened, wanted):
            return array.reshape(len(array), *widened)
    if _fits(plain, wanted):
        return array.reshape(len(array), *plain)
    raise PipelineError(
        f"the model's input {port.name} takes rows of {_shape(wanted)}, and the data has rows of "
        f"{_shape(found)}"
    )


def _fits(found: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(found) == len(wanted) and all(
        want in (None, have) for have, want in zip(found, wanted, strict=True)
    )


def _row_size(port: Port) -> int | None:
    sizes = [size for size in port.shape[1:] if size is not None]
    return math.prod(sizes) if port.shape and len(sizes) == len(port.shape) - 1 else None


def _shape(sizes: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in sizes) or "one value"


def _name(names: object) -> str:
    return ", ".join(str(name) for name in names)  # type: ignore[attr-defined]
