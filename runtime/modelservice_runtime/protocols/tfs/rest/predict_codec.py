"""Predict requests in row and column format, and their answers; pure.

Row format has one entry per instance, column format one tensor per input.
Source: tensorflow/serving `g3doc/api_rest.md`, `util/json_tensor.cc`.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.tensors.array_text import ArrayText
from modelservice_runtime.protocols.tensors.json_codec import MAX_CONTAINERS, decode_tensor
from modelservice_runtime.protocols.tensors.json_tokens import decode_object_with_tokens
from modelservice_runtime.protocols.tensors.large_arrays import (
    LargeArrays,
    decode_nested_array,
    decode_with_arrays_cut,
)
from modelservice_runtime.protocols.tfs.prepared_call import PreparedCall, check_signature_name
from modelservice_runtime.protocols.tfs.rest.json_values import (
    HttpBody,
    encode_columns,
    encode_rows,
    encode_value,
    is_base64,
)
from modelservice_runtime.tensors import (
    BYTES,
    MAX_RANK,
    Array,
    InferRequest,
    TensorSpec,
    check_shape,
    check_text_count,
)
from modelservice_runtime.transport.pieces import count_byte, find_word

# An input's array from its JSON value.
_DecodeInput: TypeAlias = Callable[[TensorSpec, object], Array]

METHOD_NAME = "tensorflow/serving/predict"

_ROWS_OF_OBJECTS = re.compile(rb'\s{0,64}\{\s{0,64}"instances"\s{0,64}:\s{0,64}\[(?=\s{0,64}\{)')
# Some milliseconds of decoding without letting others have the interpreter.
_ROWS_BYTES = 256 * 1024
# Ends of objects that are looked at before a piece is given up: what looks like one may stand in a text.
_TRIES = 8


def prepare_predict(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    """Decode a predict body. Raises InvalidRequestError and PayloadTooLargeError."""
    return _prepare_rows(spec, body) or _prepare_body(spec, body)


def _prepare_body(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    keys = ("instances", "inputs", *spec.input_by_name)
    prepared = decode_with_arrays_cut(body, partial(_prepare_large, spec), keys)
    return prepared or _prepare(spec, decode_object_with_tokens(body), partial(_decode_input, body))


def _prepare_large(spec: ModelSpec, large: LargeArrays, document: dict[str, Any]) -> PreparedCall:
    return _prepare(spec, document, partial(_decode_cut_input, large))


def _prepare_rows(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall | None:
    """Prepare objects for rows a piece at a time; None without many, and for all that is wrong."""
    opening = _ROWS_OF_OBJECTS.match(body) if len(body) > 2 * _ROWS_BYTES else None
    if opening is None or count_byte(body, b"{") > MAX_CONTAINERS:
        return None
    start, pieces = opening.end(), []
    while len(body) - start > 2 * _ROWS_BYTES:
        prepared, start = _prepare_piece(spec, body, start)
        if prepared is None:
            return None
        pieces.append(prepared)
    try:
        pieces.append(_prepare_body(spec, b'{"instances":[' + body[start:]))
    except InvalidRequestError:
        return None
    return _join_rows(spec, pieces)


def _prepare_piece(spec: ModelSpec, body: bytes | bytearray, start: int) -> tuple[PreparedCall | None, int]:
    """Prepare some rows from `start` on; also where the next ones begin.

    The piece ends behind an object. Where that is not the end of a row, the piece is no array of rows.
    """
    end = start + _ROWS_BYTES
    for _ in range(_TRIES):
        end = find_word(body, b"},", end) + 1
        if not end:
            break
        try:
            return _prepare_body(spec, b'{"instances":[' + body[start:end] + b"]}"), end + 1
        except InvalidRequestError:
            continue
    return None, start


def _join_rows(spec: ModelSpec, pieces: Sequence[PreparedCall]) -> PreparedCall | None:
    inputs: dict[str, Array] = {}
    for tensor in spec.inputs:
        parts = [piece.request.inputs[tensor.name] for piece in pieces]
        if len({part.shape[1:] for part in parts}) != 1:
            return None
        inputs[tensor.name] = np.concatenate(parts)
        if tensor.datatype is BYTES:
            check_text_count(tensor, inputs[tensor.name].size)
    return PreparedCall(InferRequest(inputs, spec.output_names), pieces[-1].encode)


def _prepare(spec: ModelSpec, document: dict[str, Any], decode_input: _DecodeInput) -> PreparedCall:
    check_signature_name(document, METHOD_NAME)
    rows, columns = document.get("instances"), document.get("inputs")
    if (rows is None) == (columns is None):
        raise InvalidRequestError("the request needs either 'instances' or 'inputs'")
    if rows is not None:
        values = _values_of_rows(spec, rows)
        encode = partial(_encode_rows, spec)
    else:
        values = _values_of_columns(spec, columns)
        encode = partial(_encode_columns, spec)
    inputs = {tensor.name: decode_input(tensor, values[tensor.name]) for tensor in spec.inputs}
    return PreparedCall(InferRequest(inputs, spec.output_names), encode)


def _values_of_rows(spec: ModelSpec, rows: object) -> dict[str, Any]:
    """JSON data by input, from one entry per instance."""
    if type(rows) is not list or not rows:
        raise InvalidRequestError("'instances' must be an array with at least one instance")
    if _is_object(rows[0]):
        return _values_of_objects(spec, rows)
    if len(spec.inputs) != 1:
        raise InvalidRequestError(
            f"every instance must be an object with the inputs {_names(spec)}; the model has not just one"
        )
    for index, row in enumerate(rows):
        if _is_object(row):
            raise InvalidRequestError(f"instance {index} is an object, but those before it are not")
    return {spec.inputs[0].name: rows}


def _values_of_objects(spec: ModelSpec, rows: list[Any]) -> dict[str, Any]:
    names = spec.input_by_name.keys()
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise InvalidRequestError(f"instance {index} is no object, but those before it are")
        if row.keys() != names:
            wrong = [f"{name[:100]!r} is unknown" for name in row if name not in names]
            wrong += [f"{name!r} is missing" for name in names if name not in row]
            raise InvalidRequestError(
                f"instance {index} must have exactly the inputs {_names(spec)}: {', '.join(wrong[:10])}"
            )
    return {name: [row[name] for row in rows] for name in names}


def _values_of_columns(spec: ModelSpec, columns: object) -> dict[str, Any]:
    """JSON data by input, from one entry per input; further keys do not matter."""
    if not _is_object(columns):
        if len(spec.inputs) != 1:
            raise InvalidRequestError(
                f"'inputs' must be an object with {_names(spec)}; the model has not just one input"
            )
        return {spec.inputs[0].name: columns}
    assert isinstance(columns, dict)
    missing = [tensor.describe() for tensor in spec.inputs if tensor.name not in columns]
    if missing:
        raise InvalidRequestError(f"missing input: {', '.join(missing[:20])}")
    return columns


def _decode_input(body: bytes | bytearray, tensor: TensorSpec, value: object) -> Array:
    shape = _nested_shape(tensor, value)
    check_shape(tensor, shape)
    return decode_tensor(tensor, shape, value, body, takes_whole_floats=False)


def _decode_cut_input(large: LargeArrays, tensor: TensorSpec, value: object) -> Array:
    """An input that is a large array, or has one in every row, or is none."""
    text = large.find(value)
    if text is not None:
        array = _decode_text(tensor, text)
    elif type(value) is list and value and large.find(value[0]) is not None:
        rows = [_decode_text(tensor, large.find(row)) for row in value]
        if len({row.shape for row in rows}) != 1:
            raise InvalidRequestError(f"input '{tensor.name}' has rows that differ in shape")
        array = np.stack(rows)
    else:
        return _decode_input(large.rest, tensor, value)
    check_shape(tensor, array.shape)
    return array


def _decode_text(tensor: TensorSpec, text: ArrayText | None) -> Array:
    array = None if text is None else decode_nested_array(tensor, text)
    if array is None:
        raise InvalidRequestError(f"input '{tensor.name}' is no array of {tensor.datatype.name} values")
    return array


def _nested_shape(tensor: TensorSpec, value: object) -> list[int]:
    """Lengths of the outermost lists, down to the first value; the decoder checks the others against it."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise InvalidRequestError(
                f"input '{tensor.name}' is nested more deeply than {MAX_RANK} dimensions"
            )
        if not value:
            break
        value = value[0]
    return shape


def _encode_rows(spec: ModelSpec, outputs: Sequence[Array]) -> HttpBody:
    """`{"predictions": [...]}`: bare values of a single output, else an object per instance."""
    count = None
    for tensor, array in zip(spec.outputs, outputs, strict=True):
        if array.ndim == 0:
            raise InvalidRequestError(
                f"output '{tensor.name}' has no dimension of instances; ask in column format, with 'inputs'"
            )
        if count not in (None, array.shape[0]):
            raise InvalidRequestError(
                f"output '{tensor.name}' has {array.shape[0]} instances, but others have {count}; "
                "ask in column format, with 'inputs'"
            )
        count = array.shape[0]
    if len(outputs) == 1:
        return encode_value("predictions", spec.outputs[0], outputs[0])
    return encode_rows("predictions", list(zip(spec.outputs, outputs, strict=True)))


def _encode_columns(spec: ModelSpec, outputs: Sequence[Array]) -> HttpBody:
    """`{"outputs": ...}`: the bare value of a single output, else an object with each."""
    if len(outputs) == 1:
        return encode_value("outputs", spec.outputs[0], outputs[0])
    return encode_columns("outputs", list(zip(spec.outputs, outputs, strict=True)))


def _is_object(value: object) -> bool:
    return type(value) is dict and not is_base64(value)


def _names(spec: ModelSpec) -> str:
    names = list(spec.input_by_name)
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
