"""Output tensors as JSON values, nested by their shape; pure.

``orjson`` writes numpy arrays by itself, and float32 in its shortest form. It writes NaN and infinities as
null; those become the tokens that TensorFlow Serving writes (see ``json_codec.py``).
"""

import base64
from typing import Any

import numpy as np
import orjson

from modelservice_runtime.server.json_codec import text_with_tokens
from modelservice_runtime.tensors import BF16, BYTES, Array, TensorSpec, fp32_from_bf16

# Outputs of this name hold bytes, not text (util/json_tensor.cc).
_BYTES_SUFFIX = "_bytes"


def is_base64(value: object) -> bool:
    """Whether a JSON value is ``{"b64": "..."}``."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def encode_answer(key: str, value: object) -> bytes:
    """The document ``{key: value}``; ``value`` comes from the functions below."""
    return orjson.dumps({key: value}, option=orjson.OPT_SERIALIZE_NUMPY)


def make_value(tensor: TensorSpec, array: Array) -> object:
    """A whole output: nested arrays, or one value for a tensor without dimensions."""
    if tensor.datatype is BYTES:
        return _texts(tensor, array)
    numbers = _numbers(tensor, array)
    if numbers.ndim == 0:
        return _scalars(numbers.reshape(1))[0]
    return _whole(numbers)


def make_rows(tensor: TensorSpec, array: Array) -> list[object]:
    """An output of at least one dimension, cut along its first."""
    if tensor.datatype is BYTES:
        return list(_texts(tensor, array))
    numbers = _numbers(tensor, array)
    return _scalars(numbers) if numbers.ndim == 1 else [_whole(row) for row in numbers]


def _numbers(tensor: TensorSpec, array: Array) -> Array:
    numbers = fp32_from_bf16(array) if tensor.datatype is BF16 else array
    # ascontiguousarray would give a tensor without dimensions one.
    return numbers if numbers.flags.c_contiguous else np.ascontiguousarray(numbers)


def _whole(numbers: Array) -> object:
    special = _non_finite(numbers)
    return orjson.Fragment(text_with_tokens(numbers, special)) if special.size else numbers


def _scalars(numbers: Array) -> list[object]:
    """The values of a one-dimensional array, one by one."""
    special = _non_finite(numbers)
    if not special.size:
        return list(numbers)
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
