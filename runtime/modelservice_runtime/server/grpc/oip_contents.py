"""InferTensorContents, the protocol's typed way to send a tensor, to arrays and back; pure."""

from collections.abc import Sequence

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protos import inference_pb2
from modelservice_runtime.server.binary_codec import decode_text
from modelservice_runtime.server.grpc.protobuf_wire import (
    LENGTH_DELIMITED,
    MAX_FIELDS,
    FieldBudget,
    malformed,
    read_fields,
)
from modelservice_runtime.server.grpc.typed_values import (
    Encoding,
    count_values,
    decode_values,
    join_packed,
)
from modelservice_runtime.tensors import BYTES, Array, TensorSpec, count_elements

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
    number, name, encoding = _FIELDS[spec.datatype.name]
    expected = count_elements(shape)
    chunks: list[tuple[int, memoryview]] = []
    budget = FieldBudget(max(expected, MAX_FIELDS) if encoding is None else MAX_FIELDS)
    for piece in contents:
        for number_found, wire_type, _, start, end in read_fields(piece, budget):
            if number_found == number:
                chunks.append((wire_type, piece[start:end]))
            elif number_found in _FIELD_NAMES:
                raise InvalidRequestError(
                    f"input '{spec.name}' has {_FIELD_NAMES[number_found]}, "
                    f"but {spec.datatype.name} belongs in {name}"
                )
    if encoding is None:
        return _decode_bytes(spec, shape, expected, chunks)
    packed = join_packed(encoding, chunks)
    count = count_values(encoding, packed)
    _check_count(spec, shape, count, name)
    return decode_values(spec, encoding, packed, count).reshape(shape)


def _decode_bytes(
    spec: TensorSpec, shape: Sequence[int], expected: int, chunks: list[tuple[int, memoryview]]
) -> Array:
    _check_count(spec, shape, len(chunks), "bytes_contents")
    array = np.empty(expected, dtype=object)
    for index, (wire_type, content) in enumerate(chunks):
        if wire_type != LENGTH_DELIMITED:
            raise malformed("a field has the wrong type")
        array[index] = decode_text(spec, content)
    return array.reshape(shape)


def _check_count(spec: TensorSpec, shape: Sequence[int], count: int, name: str) -> None:
    if count != count_elements(shape):
        raise InvalidRequestError(
            f"input '{spec.name}' has {count} elements in {name}, "
            f"but {spec.datatype.name} {list(shape)} needs {count_elements(shape)}"
        )


def check_typed_outputs(outputs: Sequence[TensorSpec]) -> None:
    """Raise InvalidRequestError where an output's datatype has no typed contents."""
    for output in outputs:
        if output.datatype.name not in _FIELDS:
            raise InvalidRequestError(
                f"output '{output.name}' is {output.datatype.name}, which has no typed contents; "
                "ask for binary data"
            )


def encode_contents(spec: TensorSpec, array: Array) -> inference_pb2.InferTensorContents:
    """Encode an output whose datatype passed ``check_typed_outputs``."""
    _, name, _ = _FIELDS[spec.datatype.name]
    values = array.ravel().tolist()
    if spec.datatype is BYTES:
        values = [value.encode("utf-8") for value in values]
    return inference_pb2.InferTensorContents(**{name: values})
