"""TensorFlow's TensorProto to arrays and back; pure.

Source: tensorflow `core/framework/tensor.proto` and `tensor.cc`. The tensors are cut out of the messages,
as OIP's are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.binary_codec import decode_buffer, encode_buffer
from modelservice_runtime.protocols.tensors.pieces import PIECE_VALUES
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    LENGTH_DELIMITED,
    MAX_FIELDS,
    FieldBudget,
    field_head,
    parse_message,
    read_fields,
)
from modelservice_runtime.protocols.tensors.typed_values import (
    Encoding,
    count_values,
    decode_texts,
    decode_values,
    join_packed,
)
from modelservice_runtime.protocols.tfs.documents import TF_DTYPES
from modelservice_runtime.protos import tensorflow_pb2 as tf
from modelservice_runtime.tensors import (
    BYTES,
    DATATYPES,
    MAX_TEXTS,
    Array,
    TensorSpec,
    check_datatype,
    check_shape,
    count_elements,
    parse_shape,
)
from modelservice_runtime.transport.http import Buffer

# What a tensor of fewer values than elements may grow to: a request of a few bytes takes as much memory.
_MAX_FILLED_BYTES = 1024 * 1024
# Datatype and shape, whose dimensions may have names.
_MAX_DESCRIBED_BYTES = 16 * 1024

_CONTENT, _STRING_VAL = 4, 8
# Field number and encoding of each datatype's values.
_FIELDS: dict[str, tuple[int, Encoding]] = {
    "FP32": (5, Encoding.FLOAT),
    "FP64": (6, Encoding.DOUBLE),
    "INT32": (7, Encoding.INT32),
    "INT16": (7, Encoding.INT32),
    "INT8": (7, Encoding.INT32),
    "UINT16": (7, Encoding.INT32),
    "UINT8": (7, Encoding.INT32),
    "INT64": (10, Encoding.INT64),
    "BOOL": (11, Encoding.BOOL),
    "FP16": (13, Encoding.INT32),
    "BF16": (13, Encoding.INT32),
    "UINT32": (16, Encoding.UINT32),
    "UINT64": (17, Encoding.UINT64),
}
_VALUE_FIELDS = {number for number, _ in _FIELDS.values()}
_NAMES = {number: tf.TensorProto.DESCRIPTOR.fields_by_number[number].name for number in _VALUE_FIELDS}
_DATATYPES = {getattr(tf, name): datatype for datatype, name in TF_DTYPES.items()}
_UINT16 = DATATYPES["UINT16"]


@dataclass(slots=True)
class TensorParts:
    """A TensorProto cut apart: its small part, its content, and the values of each field but string_val."""

    described: tf.TensorProto
    content: memoryview
    values: dict[int, list[tuple[int, memoryview]]]
    whole: memoryview


def cut_tensor(whole: memoryview, budget: FieldBudget, texts: FieldBudget) -> TensorParts:
    """Cut a serialized TensorProto apart; `texts` bounds the elements of string_val.

    Raises InvalidRequestError.
    """
    described: list[memoryview] = []
    content = memoryview(b"")
    values: dict[int, list[tuple[int, memoryview]]] = {}
    for number, wire_type, start, value, end in read_fields(whole, texts):
        if number == _STRING_VAL:
            continue
        budget.spend()
        if number == _CONTENT and wire_type == LENGTH_DELIMITED:
            content = whole[value:end]
        elif number in _VALUE_FIELDS:
            values.setdefault(number, []).append((wire_type, whole[value:end]))
        else:
            described.append(whole[start:end])
    joined = b"".join(described)
    if len(joined) > _MAX_DESCRIBED_BYTES:
        raise InvalidRequestError(
            f"a tensor has {len(joined)} bytes beside its values; the limit is {_MAX_DESCRIBED_BYTES}"
        )
    return TensorParts(parse_message(tf.TensorProto, joined), content, values, whole)


def decode_tensor_proto(spec: TensorSpec, parts: TensorParts) -> Array:
    """Make the array. Fewer values than elements stand for the rest with their last one, none for zeros.

    Raises InvalidRequestError naming the input.
    """
    check_datatype(spec, _DATATYPES.get(parts.described.dtype))
    if parts.described.tensor_shape.unknown_rank:
        raise InvalidRequestError(f"input '{spec.name}' needs a shape; its rank is marked as unknown")
    shape = parse_shape([dimension.size for dimension in parts.described.tensor_shape.dim], spec.name)
    check_shape(spec, shape)
    if spec.datatype is BYTES:
        return decode_texts(spec, shape, _string_values(spec, parts))
    if len(parts.content):
        _check_field(spec, parts, _CONTENT)
        return decode_buffer(spec, shape, parts.content)
    values = _decode_values(spec, parts)
    expected = count_elements(shape)
    if values.size < expected:
        values = _repeat_last(spec, values, expected)
    if values.size != expected:
        raise InvalidRequestError(
            f"input '{spec.name}' has {values.size} values, but {list(shape)} needs {expected}"
        )
    return values.reshape(shape)


def encode_tensor_proto(spec: TensorSpec, array: Array) -> list[Buffer]:
    """Serialize an output, its values in the field of its type, which is where clients look for them."""
    described = tf.TensorProto(dtype=getattr(tf, TF_DTYPES[spec.datatype.name]))
    described.tensor_shape.SetInParent()
    for size in array.shape:
        described.tensor_shape.dim.add(size=size)
    if spec.datatype is BYTES:
        return [described.SerializeToString(), *_value_pieces("string_val", array)]
    number, encoding = _FIELDS[spec.datatype.name]
    if encoding in (Encoding.FLOAT, Encoding.DOUBLE):
        packed = encode_buffer(spec, array)
        return [described.SerializeToString() + field_head(number, len(packed)), packed]
    integers = array.view(np.uint16) if spec.datatype.is_float else array
    return [described.SerializeToString(), *_value_pieces(_NAMES[number], integers)]


def _value_pieces(field: str, array: Array) -> Iterator[bytes]:
    """The elements of a repeated field; parts of it follow each other as its elements do."""
    flat = array.ravel()
    for start in range(0, flat.size, PIECE_VALUES):
        values = flat[start : start + PIECE_VALUES].tolist()
        if field == "string_val":
            values = [text.encode("utf-8") for text in values]
        yield tf.TensorProto(**{field: values}).SerializeToString()


def _string_values(spec: TensorSpec, parts: TensorParts) -> Iterator[tuple[int, memoryview]]:
    if len(parts.content):
        raise InvalidRequestError(f"input '{spec.name}' is DT_STRING; send it in string_val")
    _check_field(spec, parts, _STRING_VAL)
    for number, wire_type, _, value, end in read_fields(parts.whole, FieldBudget(MAX_TEXTS + MAX_FIELDS)):
        if number == _STRING_VAL:
            yield wire_type, parts.whole[value:end]


def _decode_values(spec: TensorSpec, parts: TensorParts) -> Array:
    number, encoding = _FIELDS[spec.datatype.name]
    _check_field(spec, parts, number)
    chunks = parts.values.get(number, [])
    packed = join_packed(encoding, chunks)
    count = count_values(encoding, packed)
    if not spec.datatype.is_float or encoding in (Encoding.FLOAT, Encoding.DOUBLE):
        return decode_values(spec, encoding, packed, count)
    patterns = decode_values(TensorSpec(spec.name, _UINT16, None), encoding, packed, count)
    return patterns.view(spec.datatype.numpy)


def _check_field(spec: TensorSpec, parts: TensorParts, number: int) -> None:
    for found in parts.values:
        if found != number:
            raise InvalidRequestError(
                f"input '{spec.name}' has values in {_NAMES[found]}, "
                f"which is not for {TF_DTYPES[spec.datatype.name]} or not beside tensor_content"
            )


def _repeat_last(spec: TensorSpec, values: Array, expected: int) -> Array:
    if expected * spec.datatype.item_bytes > _MAX_FILLED_BYTES:
        raise InvalidRequestError(
            f"input '{spec.name}' has {values.size} values, which would be repeated to {expected}; "
            f"that is done up to {_MAX_FILLED_BYTES} bytes: send all values"
        )
    filled = np.zeros(expected, spec.datatype.numpy)
    filled[: values.size] = values
    if values.size:
        filled[values.size :] = values[-1]
    return filled
