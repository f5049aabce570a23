"""InferTensorContents, the protocol's typed way to send a tensor, to arrays and back; pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.binary_codec import encode_buffer
from modelservice_runtime.protocols.tensors.pieces import PIECE_VALUES
from modelservice_runtime.protocols.tensors.protobuf_wire import (
    MAX_FIELDS,
    FieldBudget,
    field_head,
    read_fields,
)
from modelservice_runtime.protocols.tensors.typed_values import (
    Encoding,
    check_count,
    count_values,
    decode_texts,
    decode_values,
    join_packed,
)
from modelservice_runtime.protos import inference_pb2
from modelservice_runtime.tensors import BYTES, MAX_TEXTS, Array, TensorSpec
from modelservice_runtime.transport.http import Buffer

# Field number and name of InferTensorContents, and how its elements are written.
_FIELDS: dict[str, tuple[int, str, Encoding | None]] = {
    "BOOL": (1, "bool_contents", Encoding.BOOL),
    "INT8": (2, "int_contents", Encoding.INT32),
    "INT16": (2, "int_contents", Encoding.INT32),
    "INT32": (2, "int_contents", Encoding.INT32),
    "INT64": (3, "int64_contents", Encoding.INT64),
    "UINT8": (4, "uint_contents", Encoding.UINT32),
    "UINT16": (4, "uint_contents", Encoding.UINT32),
    "UINT32": (4, "uint_contents", Encoding.UINT32),
    "UINT64": (5, "uint64_contents", Encoding.UINT64),
    "FP32": (6, "fp32_contents", Encoding.FLOAT),
    "FP64": (7, "fp64_contents", Encoding.DOUBLE),
    "BYTES": (8, "bytes_contents", None),
}
_FIELD_NAMES = {number: name for number, name, _ in _FIELDS.values()}


def decode_contents(spec: TensorSpec, shape: Sequence[int], contents: Sequence[memoryview]) -> Array:
    """Decode an input's InferTensorContents, which may have come in several pieces.

    Raises InvalidRequestError naming the input.
    """
    if spec.datatype.name not in _FIELDS:
        raise InvalidRequestError(
            f"input '{spec.name}' is {spec.datatype.name}, which has no typed contents; "
            "send it in raw_input_contents"
        )
    encoding = _FIELDS[spec.datatype.name][2]
    if encoding is None:
        return decode_texts(spec, shape, _values(spec, contents, MAX_TEXTS))
    packed = join_packed(encoding, list(_values(spec, contents, MAX_FIELDS)))
    count = count_values(encoding, packed)
    check_count(spec, shape, count)
    return decode_values(spec, encoding, packed, count).reshape(shape)


def _values(spec: TensorSpec, contents: Sequence[memoryview], limit: int) -> Iterator[tuple[int, memoryview]]:
    """Wire type and bytes of each value of the input's field; the other fields must be empty."""
    number, name, _ = _FIELDS[spec.datatype.name]
    budget = FieldBudget(limit)
    for piece in contents:
        for found, wire_type, _, start, end in read_fields(piece, budget):
            if found == number:
                yield wire_type, piece[start:end]
            elif found in _FIELD_NAMES:
                raise InvalidRequestError(
                    f"input '{spec.name}' has {_FIELD_NAMES[found]}, "
                    f"but {spec.datatype.name} belongs in {name}"
                )


def check_typed_outputs(outputs: Sequence[TensorSpec]) -> None:
    """Raise InvalidRequestError where an output's datatype has no typed contents."""
    for output in outputs:
        if output.datatype.name not in _FIELDS:
            raise InvalidRequestError(
                f"output '{output.name}' is {output.datatype.name}, which has no typed contents; "
                "ask for binary data"
            )


def encode_contents(spec: TensorSpec, array: Array) -> list[Buffer]:
    """Serialize an output whose datatype passed `check_typed_outputs`; large ones come in pieces."""
    number, name, encoding = _FIELDS[spec.datatype.name]
    if encoding in (Encoding.FLOAT, Encoding.DOUBLE, Encoding.BOOL):
        packed = encode_buffer(spec, array)
        return [field_head(number, len(packed)), packed] if len(packed) else []
    flat = array.ravel()
    return [
        # Parts of a repeated field follow each other as its elements do.
        inference_pb2.InferTensorContents(
            **{name: _plain(spec, flat[start : start + PIECE_VALUES])}
        ).SerializeToString()
        for start in range(0, flat.size, PIECE_VALUES)
    ]


def _plain(spec: TensorSpec, values: Array) -> list[Any]:
    plain = values.tolist()
    return [value.encode("utf-8") for value in plain] if spec.datatype is BYTES else plain
