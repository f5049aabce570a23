"""Output tensors as JSON values, nested by their shape; pure.

`orjson` writes numpy arrays by itself, and float32 in its shortest form. It writes NaN and infinities as
null; those become the tokens that TensorFlow Serving writes (see `json_codec.py`).
"""

import base64
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import orjson

from modelservice_runtime.protocols.tensors.json_codec import (
    count_characters,
    encode_values,
    text_with_tokens,
    write_json,
)
from modelservice_runtime.protocols.tensors.pieces import PIECE_VALUES, as_body, encode_in_pieces
from modelservice_runtime.tensors import BF16, BYTES, Array, TensorSpec, contiguous, fp32_from_bf16
from modelservice_runtime.transport.http import Buffer

# An answer's document, whole or in pieces.
HttpBody: TypeAlias = bytes | Sequence[Buffer]

# Outputs of this name hold bytes, not text (util/json_tensor.cc).
_BYTES_SUFFIX = "_bytes"


def is_base64(value: object) -> bool:
    """Whether a JSON value is `{"b64": "..."}`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def encode_value(key: str, tensor: TensorSpec, array: Array) -> HttpBody:
    """The document of one output as a whole."""
    return as_body([b"{%b:" % orjson.dumps(key), *_value_pieces(tensor, array), b"}"])


def encode_columns(key: str, columns: Sequence[tuple[TensorSpec, Array]]) -> HttpBody:
    """The document of several outputs by name."""
    return as_body([b"{%b:" % orjson.dumps(key), *_object_pieces(columns), b"}"])


def encode_rows(key: str, columns: Sequence[tuple[TensorSpec, Array]]) -> HttpBody:
    """The document of an array with an object for each row of several outputs, which have equal numbers."""
    count = len(columns[0][1])
    row_size = sum([array.size for _, array in columns]) // max(count, 1)
    parts = [b"{%b:[" % orjson.dumps(key)]
    step = max(PIECE_VALUES // max(row_size, 1), 1)
    for start in range(0, count, step):
        parts += [b","] if start else []
        if row_size > PIECE_VALUES:
            # Not array[start], which may be no array.
            row = [(tensor, array[start : start + 1].reshape(array.shape[1:])) for tensor, array in columns]
            parts += _object_pieces(row)
        else:
            rows = _make_objects([(tensor, array[start : start + step]) for tensor, array in columns])
            characters = sum([count_characters(array[start : start + step]) for _, array in columns])
            parts.append(write_json(rows, step * row_size, characters)[1:-1])
    return as_body([*parts, b"]}"])


def _make_objects(columns: Sequence[tuple[TensorSpec, Array]]) -> list[dict[str, object]]:
    names = [tensor.name for tensor, _ in columns]
    values = [make_rows(tensor, array) for tensor, array in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _object_pieces(columns: Sequence[tuple[TensorSpec, Array]]) -> Iterator[bytes]:
    """One object with outputs by name."""
    before = b"{"
    for tensor, array in columns:
        yield b"%b%b:" % (before, orjson.dumps(tensor.name))
        yield from _value_pieces(tensor, array)
        before = b","
    yield b"}"


def _value_pieces(tensor: TensorSpec, array: Array) -> Iterator[bytes]:
    """A whole output: nested arrays, or one value for a tensor without dimensions."""
    if not array.ndim:
        return iter((_encode(tensor, array.reshape(1))[1:-1],))
    return encode_in_pieces(array, partial(_encode, tensor))


def _encode(tensor: TensorSpec, array: Array) -> bytes:
    if tensor.datatype is not BYTES:
        return encode_values(tensor, array)
    return write_json(_texts(tensor, array), array.size, count_characters(array))


def make_rows(tensor: TensorSpec, array: Array) -> list[object]:
    """An output of at least one dimension, cut along its first."""
    if tensor.datatype is BYTES:
        return list(_texts(tensor, array))
    numbers = _numbers(tensor, array)
    return _scalars(numbers) if numbers.ndim == 1 else [_whole(row) for row in numbers]


def _numbers(tensor: TensorSpec, array: Array) -> Array:
    numbers = fp32_from_bf16(array) if tensor.datatype is BF16 else array
    return contiguous(numbers)


def _whole(numbers: Array) -> object:
    special = _non_finite(numbers)
    return orjson.Fragment(text_with_tokens(numbers, special)) if special.size else numbers


def _scalars(numbers: Array) -> list[object]:
    """The values of a one-dimensional array, one by one."""
    special = _non_finite(numbers)
    if not special.size:
        # Integers of ONNX Runtime's may be of a C type (long long) whose scalars orjson does not know; floats
        # must stay numpy's to be written in their shortest form.
        return list(numbers) if numbers.dtype.kind == "f" else numbers.tolist()
    return [orjson.Fragment(text) for text in text_with_tokens(numbers, special)[1:-1].split(b",")]


def _non_finite(numbers: Array) -> Array:
    return numbers[~np.isfinite(numbers)] if numbers.dtype.kind == "f" else np.empty(0)


def _texts(tensor: TensorSpec, array: Array) -> Any:
    texts = array.tolist()
    return _in_base64(texts) if tensor.name.endswith(_BYTES_SUFFIX) else texts


def _in_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_base64(element) for element in value]
    return {"b64": base64.b64encode(value.encode("utf-8")).decode("ascii")}
