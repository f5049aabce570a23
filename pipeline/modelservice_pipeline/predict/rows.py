"""Rows as a model takes them: checked and cast before anything is asked, cut, and joined again; pure."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Array, Tensors


def prepare_rows(rows: Tensors, inputs: Sequence[Port]) -> dict[str, Array]:
    """Return an array for each input, of its type and rank.

    A column [n] becomes [n, 1] where the model wants that, and the other way round. Numbers are cast where
    none changes but by rounding. Raises PipelineError naming the input.
    """
    _check_names(rows, inputs)
    arrays = {port.name: _fit(np.asarray(rows[port.name]), port) for port in inputs}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise PipelineError(
            "the inputs have different numbers of rows: "
            + ", ".join(f"{name!r} {count}" for name, count in counts.items())
        )
    if not all(counts.values()):
        raise PipelineError("there are no rows: give at least one")
    return arrays


def count_rows(rows: Tensors) -> int:
    """How many rows there are."""
    return len(next(iter(rows.values())))


def cut_rows(rows: Tensors, start: int, stop: int) -> dict[str, Array]:
    """Return the rows from `start` to before `stop`."""
    return {name: array[start:stop] for name, array in rows.items()}


def fixed_rows(inputs: Sequence[Port]) -> int | None:
    """How many rows the model takes at once, no more and no fewer; None where any number fits."""
    sizes = [port.shape[0] for port in inputs if port.shape]
    return next((size for size in sizes if size is not None), None)


def fill_rows(rows: Tensors, count: int) -> dict[str, Array]:
    """Return `count` rows: those given, then the last one again and again."""
    missing = count - count_rows(rows)
    return {
        name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for name, array in rows.items()
    }


def bytes_of_row(rows: Tensors) -> int:
    """About how many bytes a row has; a text's are those of the longest in ASCII."""
    return sum(_bytes_of_entry(array) for array in rows.values())


def _bytes_of_entry(array: Array) -> int:
    elements = array[:1].size
    if array.dtype != object:
        return max(1, elements * array.itemsize)
    return max(1, elements * (4 + max(map(len, array.flat), default=0)))


def join_outputs(parts: Sequence[tuple[int, Mapping[str, Array]]], where: str) -> dict[str, Array]:
    """Return the outputs of all parts, each given with its number of rows.

    Left out is an output without a row of one shape for each row; PipelineError where none is left.
    """
    joined = {name: _join(name, parts) for name in parts[0][1]}
    found = {name: array for name, array in joined.items() if array is not None}
    if not found:
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in parts[0][1].items())
        raise PipelineError(
            f"{where} answers {parts[0][0]} rows with {shapes or 'no tensors'}: no output has one row of one "
            "shape for each row that was asked; where rows are another dimension, as in models that count "
            "steps first, add a Transpose to the graph"
        )
    return found


def _join(name: str, parts: Sequence[tuple[int, Mapping[str, Array]]]) -> Array | None:
    arrays = [outputs[name] for _, outputs in parts if name in outputs]
    rows = [count for count, _ in parts]
    if [array.shape[0] if array.ndim else None for array in arrays] != rows:
        return None
    if len({array.shape[1:] for array in arrays}) > 1:
        return None
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _check_names(rows: Tensors, inputs: Sequence[Port]) -> None:
    wanted = {port.name for port in inputs}
    if wanted == set(rows):
        return
    missing, unknown = sorted(wanted - set(rows)), sorted(set(rows) - wanted)
    said = [f"it lacks {_list(missing)}"] if missing else []
    said += [f"it does not know {_list(unknown)}"] if unknown else []
    raise PipelineError(f"the model takes {_list(port.name for port in inputs)}: {' and '.join(said)}")


def _list(names: Iterator[str] | Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _fit(array: Array, port: Port) -> Array:
    if array.ndim == 0:
        raise PipelineError(f"input {port.name!r} is one value: give an array with one entry per row")
    return cast(_shaped(array, port), port)


def _shaped(array: Array, port: Port) -> Array:
    rank = len(port.shape)
    if not rank:  # the model does not say
        return array
    if array.ndim == rank - 1 and port.shape[-1] in (1, None):
        array = array[..., np.newaxis]
    elif array.ndim == rank + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    pairs = zip(array.shape[1:], port.shape[1:], strict=False)
    if array.ndim != rank or any(wanted not in (size, None) for size, wanted in pairs):
        expected = " x ".join("any" if size is None else str(size) for size in ("rows", *port.shape[1:]))
        found = " x ".join(map(str, array.shape))
        raise PipelineError(f"input {port.name!r} has the shape {found}, and the model takes {expected}")
    return array


def cast(array: Array, port: Port) -> Array:
    """Return an array in the type that an input takes. Raises PipelineError where that changes a number."""
    if port.dtype == "object":
        return _texts(array, port)
    wanted = np.dtype(port.dtype)
    if array.dtype == wanted:
        return np.asarray(array, order="C")
    if array.dtype.kind not in "biuf" or (wanted.kind == "b" and array.dtype.kind != "b"):
        kind = "texts or objects" if array.dtype.kind in "OUS" else str(array.dtype)
        raise PipelineError(f"input {port.name!r} takes {port.dtype}, and the data has {kind}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise PipelineError(
            f"input {port.name!r} takes {port.dtype}, and the data has numbers that are none, such as "
            f"{array[cast != array].flat[0]}"
        )
    return cast


def _texts(array: Array, port: Port) -> Array:
    texts = array.astype(object)
    wrong = [value for value in texts.flat if not isinstance(value, str)]
    if wrong:
        kind = type(wrong[0]).__name__
        raise PipelineError(f"input {port.name!r} takes texts, and the data has a value of type {kind}")
    return texts
