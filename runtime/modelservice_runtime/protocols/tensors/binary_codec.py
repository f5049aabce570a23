"""The binary tensor extension's buffers; pure. Source: Triton, `extension_binary_data.md`.

Little-endian, row-major, unpadded. BOOL is one byte, 0 or 1. A BYTES element is a 4-byte length and that
many bytes.
"""

import struct
from collections.abc import Sequence

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import BOOL, BYTES, Array, TensorSpec, check_text_count, count_elements

_LENGTH = struct.Struct("<I")
# Below this a copy costs less than another look at the same memory.
_COPIED_BYTES = 16 * 1024
# Texts that are joined in one go, while no other thread has the interpreter.
_PIECE = 16 * 1024


def decode_buffer(spec: TensorSpec, shape: Sequence[int], buffer: memoryview) -> Array:
    """Make an array of `shape` over `buffer`; numbers are not copied unless misaligned.

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
    array: Array = np.ndarray(shape, spec.datatype.numpy, buffer)
    # Vector instructions in the model's kernels may need aligned memory.
    return array if array.flags.aligned else array.copy()


def encode_buffer(spec: TensorSpec, array: Array) -> memoryview:
    """The bytes of an output; large ones without a copy where the memory is contiguous already."""
    if spec.datatype is BYTES:
        return memoryview(_encode_strings(array))
    if array.nbytes < _COPIED_BYTES:
        return memoryview(array.tobytes())
    content: Array = np.ndarray(array.nbytes, np.uint8, np.ascontiguousarray(array))
    return content.data


def decode_text(spec: TensorSpec, content: memoryview) -> str:
    """One BYTES element as the str that ONNX wants. Raises InvalidRequestError where it is not UTF-8."""
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise _not_text(spec) from None


def _decode_strings(spec: TensorSpec, count: int, buffer: memoryview) -> Array:
    if count * _LENGTH.size > buffer.nbytes:
        raise InvalidRequestError(
            f"input '{spec.name}' has {buffer.nbytes} bytes of data, too few for {count} BYTES elements"
        )
    check_text_count(spec, count)
    texts: list[str] = []
    position, end = 0, buffer.nbytes
    try:
        for _ in range(count):
            start = position + _LENGTH.size
            position = start + _LENGTH.unpack_from(buffer, position)[0]
            if position > end:
                raise InvalidRequestError(
                    f"input '{spec.name}' has a BYTES element {len(texts)} of {position - start} bytes "
                    "that ends past its data"
                )
            texts.append(str(buffer[start:position], "utf-8"))
    except struct.error:
        raise InvalidRequestError(
            f"input '{spec.name}' ends within the length of BYTES element {len(texts)} of {count}"
        ) from None
    except UnicodeDecodeError:
        raise _not_text(spec) from None
    if position != end:
        raise InvalidRequestError(
            f"input '{spec.name}' has {end - position} bytes left over behind {count} BYTES elements"
        )
    array = np.empty(count, dtype=object)
    array[:] = texts
    return array


def _not_text(spec: TensorSpec) -> InvalidRequestError:
    return InvalidRequestError(f"input '{spec.name}' has bytes that are not UTF-8; ONNX strings are UTF-8")


def _encode_strings(array: Array) -> bytes:
    flat = array.ravel()
    pieces = [_join_strings(flat[start : start + _PIECE]) for start in range(0, flat.size, _PIECE)]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _join_strings(texts: Array) -> bytes:
    parts: list[bytes] = []
    for text in texts.tolist():
        encoded = text.encode("utf-8")
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)
