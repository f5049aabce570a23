"""Protobuf's wire format, as far as it is faster or safer to read and write it here; pure.

protobuf's own parser copies every tensor twice, and makes forty bytes of objects of two bytes of input. So
the codecs cut the tensors out of a message as views, with a bound on the number of fields, and give the small
rest to the parser.
Source: protobuf, `Encoding` (https://protobuf.dev/programming-guides/encoding/).
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import Buffer

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5

# More fields than any request needs: a model of 5,000 inputs sends 10,000. Each costs a fraction of a
# microsecond here, and some hundred bytes in protobuf's parser.
MAX_FIELDS = 16 * 1024

# Names, shapes and parameters: protobuf's parser may need forty times as much memory.
MAX_HEAD_BYTES = 1 << 20

_MAX_VARINT_BYTES = 10
_FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
# Varints decoded in one step: bounds the temporary arrays.
_CHUNK_BYTES = 64 * 1024


class Field(NamedTuple):
    """One field: its number, wire type, where its tag begins, and its value's bytes (without a length)."""

    number: int
    wire_type: int
    start: int
    value_start: int
    end: int


class ParsedMessage(Protocol):
    """A generated message class."""

    @classmethod
    def FromString(cls, s: bytes) -> Self:  # noqa: N802 - protobuf's name
        """Parse a serialized message."""


Parsed = TypeVar("Parsed", bound=ParsedMessage)


def malformed(what: str = "it ends within a field") -> InvalidRequestError:
    """The error for bytes that are no message at all."""
    return InvalidRequestError(f"the message is not valid protobuf: {what}")


def too_many_fields(limit: int = MAX_FIELDS) -> InvalidRequestError:
    """The error for a message that is made of crumbs."""
    return InvalidRequestError(f"the message has too many fields; the limit is {limit}")


def parse_message(message_class: type[Parsed], content: bytes) -> Parsed:
    """Give the small rest of a message to protobuf's parser. Raises InvalidRequestError."""
    try:
        return message_class.FromString(content)
    except DecodeError:
        raise malformed("a field has the wrong type, or text is not UTF-8") from None


def parse_without_tensors(message_class: type[Parsed], head: bytes) -> Parsed:
    """Parse a request without its tensors. Raises InvalidRequestError, also where that is large."""
    if len(head) > MAX_HEAD_BYTES:
        raise InvalidRequestError(
            f"the request has {len(head)} bytes beside its tensors; the limit is {MAX_HEAD_BYTES}"
        )
    return parse_message(message_class, head)


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Return a varint of at most 64 bits and the position behind it. Raises InvalidRequestError."""
    value = 0
    for index, byte in enumerate(buffer[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + index + 1
    raise malformed("a number does not end")


def read_field(buffer: Buffer, position: int) -> Field:
    """Read the field at `position`. Raises InvalidRequestError where it is not whole."""
    start, size = position, len(buffer)
    first = buffer[start]
    if first & 0x87 == LENGTH_DELIMITED and first > 7 and start + 1 < size and buffer[start + 1] < 0x80:
        # Nearly all short texts.
        end = start + 2 + buffer[start + 1]
        if end > size:
            raise malformed()
        return Field(first >> 3, LENGTH_DELIMITED, start, start + 2, end)
    tag, position = read_varint(buffer, position)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        raise malformed("a field has an impossible number")
    if wire_type == LENGTH_DELIMITED:
        length, position = read_varint(buffer, position)
        end = position + length
    elif wire_type == VARINT:
        _, end = read_varint(buffer, position)
    elif wire_type in _FIXED_BYTES:
        end = position + _FIXED_BYTES[wire_type]
    else:
        raise malformed("a field has an unknown type")
    if end > size:
        raise malformed()
    return Field(number, wire_type, start, position, end)


class FieldBudget:
    """How many fields may still be read."""

    __slots__ = ("_limit", "_remaining")

    def __init__(self, fields: int = MAX_FIELDS) -> None:
        self._limit = self._remaining = fields

    def spend(self) -> None:
        """Count a field. Raises InvalidRequestError when there are too many."""
        self._remaining -= 1
        if self._remaining < 0:
            raise too_many_fields(self._limit)


def read_fields(buffer: Buffer, budget: FieldBudget) -> Iterator[Field]:
    """Iterate over the fields of one message, not into them. Raises InvalidRequestError."""
    position, end = 0, len(buffer)
    while position < end:
        budget.spend()
        field = read_field(buffer, position)
        position = field.end
        yield field


def encode_varint(value: int) -> bytes:
    """Encode a number; negative ones as 64 bits in two's complement, like int64."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field_head(number: int, size_bytes: int) -> bytes:
    """Tag and length of a length-delimited field (`number` up to 15) whose value follows."""
    return bytes((number << 3 | LENGTH_DELIMITED,)) + encode_varint(size_bytes)


def encode_field(number: int, value: bytes) -> bytes:
    """Encode a whole length-delimited field; nothing for an empty value, which is the default."""
    return field_head(number, len(value)) + value if value else b""


def count_varints(packed: Buffer) -> int:
    """Numbers in a packed field: the bytes that end one."""
    return int(np.count_nonzero(np.frombuffer(packed, np.uint8) < 0x80)) if len(packed) else 0


def decode_varints(packed: Buffer, count: int) -> Array:
    """Decode a packed field of `count` (see `count_varints`) varints as uint64.

    Raises InvalidRequestError where one is longer than 64 bits or cut off.
    """
    data = np.frombuffer(packed, np.uint8) if len(packed) else np.empty(0, np.uint8)
    values = np.empty(count, np.uint64)
    position = filled = 0
    while position < data.size:
        chunk = data[position : position + _CHUNK_BYTES]
        ends = np.flatnonzero(chunk < 0x80)
        if not ends.size:
            raise malformed("a number does not end")
        chunk = chunk[: ends[-1] + 1]
        values[filled : filled + ends.size] = _decode_chunk(chunk, ends)
        filled += ends.size
        position += chunk.size
    return values


def _decode_chunk(chunk: Array, ends: Array) -> Array:
    if ends.size == chunk.size:
        return chunk  # one byte each
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _MAX_VARINT_BYTES:
        raise malformed("a number has more than 64 bits")
    values = (chunk[starts] & 0x7F).astype(np.uint64)
    for index in range(1, longest):
        chosen = np.flatnonzero(lengths > index)
        part = (chunk[starts[chosen] + index] & 0x7F).astype(np.uint64)
        values[chosen] |= part << np.uint64(7 * index)
    return values
