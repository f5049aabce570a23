"""Repeated fields of numbers and byte strings to arrays; pure.

OIP's typed contents and TensorFlow's `*_val` fields are the same on the wire: a field number for each group
of datatypes, packed or not. An encoding tells how a field's elements are written.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.binary_codec import decode_text
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    FIXED32,
    FIXED64,
    LENGTH_DELIMITED,
    VARINT,
    count_varints,
    decode_varints,
    malformed,
)
from modelservice_runtime.tensors import Array, TensorSpec, check_text_count, count_elements
from modelservice_runtime.transport.http import Buffer

# Two bytes may be an element; these are some milliseconds' worth.
LARGE_TEXTS_BYTES = 16 * 1024


class Encoding(Enum):
    """How protobuf writes one element."""

    INT32 = auto()
    INT64 = auto()
    UINT32 = auto()
    UINT64 = auto()
    BOOL = auto()
    FLOAT = auto()
    DOUBLE = auto()


_FIXED: dict[Encoding, tuple[int, np.dtype[Any]]] = {
    Encoding.FLOAT: (FIXED32, np.dtype("<f4")),
    Encoding.DOUBLE: (FIXED64, np.dtype("<f8")),
}
_INTEGER: dict[Encoding, np.dtype[Any]] = {
    Encoding.INT32: np.dtype(np.int32),
    Encoding.INT64: np.dtype(np.int64),
    Encoding.UINT32: np.dtype(np.uint32),
    Encoding.UINT64: np.dtype(np.uint64),
}


def join_packed(encoding: Encoding, chunks: Sequence[tuple[int, memoryview]]) -> Buffer:
    """The packed form of a field that came in pieces, each a wire type and its value's bytes.

    An element on its own has the bytes that it has in a packed field. Raises InvalidRequestError for a wire
    type that the encoding does not have.
    """
    single = _FIXED[encoding][0] if encoding in _FIXED else VARINT
    for wire_type, _ in chunks:
        if wire_type not in (LENGTH_DELIMITED, single):
            raise malformed("a field has the wrong type")
    if len(chunks) == 1:
        return chunks[0][1]
    return b"".join([chunk for _, chunk in chunks])


def count_values(encoding: Encoding, packed: Buffer) -> int:
    """Elements of a packed field. Raises InvalidRequestError where it ends within one."""
    if encoding not in _FIXED:
        return count_varints(packed)
    item_bytes = _FIXED[encoding][1].itemsize
    if len(packed) % item_bytes:
        raise malformed(f"a packed field of {item_bytes}-byte numbers has {len(packed)} bytes")
    return len(packed) // item_bytes


def decode_values(spec: TensorSpec, encoding: Encoding, packed: Buffer, count: int) -> Array:
    """Decode the `count` elements of a packed field as a flat array of the input's datatype.

    Floats are not copied unless misaligned. Raises InvalidRequestError for integers that the datatype lacks.
    """
    if encoding in _FIXED:
        array = np.frombuffer(packed, _FIXED[encoding][1]) if count else np.empty(0, _FIXED[encoding][1])
        return array if array.flags.aligned else array.copy()
    values = decode_varints(packed, count)
    if encoding is Encoding.BOOL:
        return values.astype(np.bool_)
    # As protobuf does: what is longer than the field's type loses its upper bits.
    integers = values.astype(_INTEGER[encoding])
    return _narrow(spec, integers)


def decode_texts(spec: TensorSpec, shape: Sequence[int], values: Iterable[tuple[int, memoryview]]) -> Array:
    """Decode a BYTES input from its elements, each a wire type and the bytes.

    Raises InvalidRequestError for another number of them than `shape` has, and for what is not UTF-8;
    PayloadTooLargeError for too many.
    """
    expected = count_elements(shape)
    check_text_count(spec, expected)
    texts: list[str] = []
    for wire_type, content in values:
        if wire_type != LENGTH_DELIMITED:
            raise malformed("a field has the wrong type")
        texts.append(decode_text(spec, content))
    check_count(spec, shape, len(texts))
    array = np.empty(expected, dtype=object)
    array[:] = texts
    return array.reshape(shape)


def check_count(spec: TensorSpec, shape: Sequence[int], count: int) -> None:
    """Raise InvalidRequestError unless there are as many elements as `shape` has."""
    if count != count_elements(shape):
        raise InvalidRequestError(
            f"input '{spec.name}' has {count} elements, "
            f"but {spec.datatype.name} {list(shape)} needs {count_elements(shape)}"
        )


def _narrow(spec: TensorSpec, integers: Array) -> Array:
    wanted = spec.datatype.numpy
    if wanted == integers.dtype:
        return integers
    narrowed = integers.astype(wanted)
    wrong = np.flatnonzero(narrowed != integers)
    if wrong.size:
        raise InvalidRequestError(
            f"input '{spec.name}' has the value {integers[wrong[0]]} at index {wrong[0]}, "
            f"which is out of range for {spec.datatype.name}"
        )
    return narrowed
