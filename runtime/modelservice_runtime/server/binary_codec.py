"""The binary tensor extension's buffers; pure. Source: Triton, ``extension_binary_data.md``.

Little-endian, row-major, unpadded. BOOL is one byte, 0 or 1. A BYTES element is a 4-byte length and that
many bytes.
"""

import struct
from collections.abc import Sequence

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import BOOL, BYTES, Array, TensorSpec, count_elements

_LENGTH = struct.Struct("<I")


def decode_buffer(spec: TensorSpec, shape: Sequence[int], buffer: memoryview) -> Array:
    """Make an array of ``shape`` over ``buffer``; numbers are not copied unless misaligned.

    Raises InvalidRequestError naming the input where sizes do not agree.
    """
    count = count_elements(shape)
    if spec.datatype is BYTES:
        return _decode_strings(spec, count, buffer).reshape(shape)
    expected = count * spec.datatype.item_bytes
    if buffer.nbytes != expected:
        raise InvalidRequestError(
            f"input '{spec.name}' has {buffer.nbytes} bytes of binary data, "
            f"but {spec.datatype.name} {list(shape)} needs {expected}"
        )
    if spec.datatype is BOOL and count and np.frombuffer(buffer, dtype=np.uint8).max() > 1:
        raise InvalidRequestError(f"input '{spec.name}' has BOOL bytes other than 0 and 1")
    array = np.frombuffer(buffer, dtype=spec.datatype.numpy)
    if not array.flags.aligned:
        array = array.copy()  # vector instructions in the model's kernels may need aligned memory
    return array.reshape(shape)


def encode_buffer(spec: TensorSpec, array: Array) -> memoryview:
    """The bytes of an output, without a copy where the memory is contiguous already."""
    if spec.datatype is BYTES:
        return memoryview(_encode_strings(array))
    contiguous = np.ascontiguousarray(array).ravel()
    return memoryview(contiguous.view(np.uint8).data)


def decode_text(spec: TensorSpec, content: memoryview) -> str:
    """One BYTES element as the str that ONNX wants. Raises InvalidRequestError where it is not UTF-8."""
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(
            f"input '{spec.name}' has bytes that are not UTF-8; ONNX strings are UTF-8"
        ) from None


def _decode_strings(spec: TensorSpec, count: int, buffer: memoryview) -> Array:
    # Each element takes 4 bytes at least: this bounds the allocation below by the bytes received.
    if count * _LENGTH.size > buffer.nbytes:
        raise InvalidRequestError(
            f"input '{spec.name}' has {buffer.nbytes} bytes of data, too few for {count} BYTES elements"
        )
    array = np.empty(count, dtype=object)
    position, end = 0, buffer.nbytes
    for index in range(count):
        if position + _LENGTH.size > end:
            raise InvalidRequestError(f"input '{spec.name}' ends within the length of BYTES element {index}")
        (length,) = _LENGTH.unpack_from(buffer, position)
        position += _LENGTH.size
        if length > end - position:
            raise InvalidRequestError(
                f"input '{spec.name}' has a BYTES element {index} of {length} bytes that ends past its data"
            )
        array[index] = decode_text(spec, buffer[position : position + length])
        position += length
    if position != end:
        raise InvalidRequestError(
            f"input '{spec.name}' has {end - position} bytes left over behind {count} BYTES elements"
        )
    return array


def _encode_strings(array: Array) -> bytes:
    parts: list[bytes] = []
    for value in array.ravel().tolist():
        encoded = value.encode("utf-8")
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)
