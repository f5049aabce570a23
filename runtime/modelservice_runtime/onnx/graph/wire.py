"""The protobuf wire format, as far as an ONNX file needs it: no protobuf library, no copies, no recursion."""

from collections.abc import Iterator
from typing import TypeAlias

from modelservice_runtime.errors import ModelLoadFailedError

# As long as a path may be; names are compared with short ones only.
MAX_TEXT_BYTES = 4096
_DAMAGED = "the file is truncated or is not an ONNX model; check its source and fetch it again"

Value: TypeAlias = int | memoryview


def text(value: memoryview) -> str:
    """The text, or its beginning where it is longer than any name that matters."""
    return bytes(value[:MAX_TEXT_BYTES]).decode("utf-8", "replace")


def parts(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields that are no single numbers: texts, bytes and messages."""
    for number, value in fields(message):
        if isinstance(value, memoryview):
            yield number, value


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) of a protobuf message; fixed-width values come as their bytes."""
    position, end = 0, len(message)
    while position < end:
        key, position = varint(message, position)
        if key >> 32:  # ONNX Runtime's parser would drop the upper bits and see another field
            raise ModelLoadFailedError(_DAMAGED)
        wire_type = key & 7
        if wire_type == 0:
            number, position = varint(message, position)
            yield key >> 3, number
            continue
        if wire_type == 2:
            length, position = varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ModelLoadFailedError(_DAMAGED)
        if length > end - position:
            raise ModelLoadFailedError(_DAMAGED)
        yield key >> 3, message[position : position + length]
        position += length


def spans(message: memoryview) -> Iterator[tuple[int, Value, memoryview]]:
    """What `fields` yields of a message that is known to be whole, and the bytes of each field."""
    position = 0
    while position < len(message):
        start = position
        key, position = varint(message, position)
        value: Value
        if key & 7 == 0:
            value, position = varint(message, position)
        else:
            size = {1: 8, 5: 4}.get(key & 7)
            if size is None:
                size, position = varint(message, position)
            value = message[position : position + size]
            position += size
        yield key >> 3, value, message[start:position]


def field(number: int, *content: bytes | memoryview) -> list[bytes | memoryview]:
    """A field whose value is a text or a message, in pieces."""
    head = _encode_varint(number << 3 | 2) + _encode_varint(sum(map(len, content)))
    return [head, *content]


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, and where the next field begins. Raises ModelLoadFailedError."""
    result = shift = 0
    end = len(message)
    while position < end and shift < 70:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ModelLoadFailedError(_DAMAGED)
