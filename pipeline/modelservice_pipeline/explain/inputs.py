"""What people and programs give as an input, as rows of a model; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Array
from modelservice_pipeline.predict.rows import prepare_rows


def find_text_input(inputs: Sequence[Port]) -> Port | None:
    """Return the input of a model that takes one text a row and nothing else, None of any other model."""
    if len(inputs) != 1:
        return None
    (port,) = inputs
    is_one = all(size in (1, None) for size in port.shape[1:])
    return port if port.dtype == "object" and is_one else None


def read_text(given: Any, port: Port) -> str:
    """Return the text of an input: a string, or an object with the input's name. Raises PipelineError."""
    if isinstance(given, Mapping) and set(given) == {port.name}:
        given = given[port.name]
    while isinstance(given, list) and len(given) == 1:
        (given,) = given
    if not isinstance(given, str):
        raise PipelineError(f"the model takes a text: give a string, or an object with {port.name!r}")
    return given


def read_rows(given: Sequence[Any], inputs: Sequence[Port]) -> dict[str, Array]:
    """Return rows as arrays of what the model takes.

    Args:
        given: Rows as JSON has them: objects by the names of inputs, or of a model with one input its values.
        inputs: The model's inputs.

    Raises PipelineError.
    """
    if not given:
        raise PipelineError("there are no rows: give at least one")
    names = {port.name for port in inputs}
    rows = [_by_name(row, inputs) for row in given]
    if any(set(row) != names for row in rows):
        wanted = ", ".join(repr(name) for name in sorted(names))
        raise PipelineError(f"the model takes {wanted}: each row needs an object with these names")
    return prepare_rows(
        {port.name: _stack([row[port.name] for row in rows], port) for port in inputs}, inputs
    )


def _by_name(row: Any, inputs: Sequence[Port]) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return _by_features(row, inputs)
    if len(inputs) == 1:
        return {inputs[0].name: row}
    return {}


def _by_features(row: Mapping[str, Any], inputs: Sequence[Port]) -> Mapping[str, Any]:
    """Return an object by the names of features as one of the only input, in the model's order."""
    names = inputs[0].names if len(inputs) == 1 else ()
    if not names or set(row) != set(names):
        return row
    return {inputs[0].name: [row[name] for name in names]}


def _stack(values: list[Any], port: Port) -> Array:
    try:
        if port.dtype.startswith("float"):
            values = _with_nan(values)
        return np.array(values, dtype=object if port.dtype == "object" else None)
    except ValueError:
        raise PipelineError(f"input {port.name!r}: its values have different lengths") from None
    except RecursionError:
        raise PipelineError(f"input {port.name!r}: its values are nested too deeply") from None


def _with_nan(value: Any) -> Any:
    """Read a missing number, which JSON writes as null."""
    if isinstance(value, list):
        return [_with_nan(one) for one in value]
    return float("nan") if value is None else value
