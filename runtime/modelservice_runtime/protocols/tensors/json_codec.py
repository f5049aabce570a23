"""JSON requests to arrays and arrays to JSON; pure.

orjson bounds nesting (1024) and refuses NaN, Infinity and bad UTF-8. It keeps the last of duplicate keys,
so those are looked for here. Python numbers become arrays through `struct`, which is faster than
`np.array` and strict: it refuses a float for an integer tensor, text for a number and values out of range.

NaN and infinities in outputs have no JSON form. They are written as the tokens NaN, Infinity and
-Infinity, which Python's and JavaScript-superset parsers read and TensorFlow Serving writes too; null, which
orjson would write, would silently make an infinity a NaN. Clients with strict parsers ask for binary data.
"""

import base64
import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import orjson

from modelservice_runtime.errors import InvalidRequestError, PayloadTooLargeError
from modelservice_runtime.machine.memory.spare import ensure_room
from modelservice_runtime.tensors import (
    BF16,
    BOOL,
    BYTES,
    Array,
    Datatype,
    TensorSpec,
    bf16_from_fp32,
    check_text_count,
    contiguous,
    count_elements,
    fp32_from_bf16,
)
from modelservice_runtime.transport.pieces import PIECE_BYTES, count_byte, find_word

# An empty array costs 3 bytes on the wire and some 60 in memory.
MAX_CONTAINERS = 1_000_000
# Parsing that many keeps everybody from the interpreter for a tenth of a second.
MAX_VALUES = 1_000_000
_FEW_VALUES = 32
# What orjson and its result take: 12 for a character of the text and one in a Python text, and the objects.
_BYTES_PER_CHARACTER = 13
_CONTAINER_BYTES = 320
_MEMBER_BYTES = 160
_VALUE_BYTES = 64
# The memory for so little, or for a text as short as that, is not looked for.
_FEW_BYTES = 16 * 1024
_MAX_WHOLE = 2.0**53
_SHOWN_LETTERS = 40


def decode_value(body: bytes | bytearray) -> Any:
    """Parse any JSON value, without a look at duplicate keys.

    Raises InvalidRequestError for syntax and depth, PayloadTooLargeError for excessive numbers of arrays,
    objects and other values, MemoryError.
    """
    if len(body) > MAX_CONTAINERS:
        _check_counts(body)
    try:
        return read_json(body)
    except orjson.JSONDecodeError as error:
        what = "empty" if not body else f"not valid JSON: {error}"
        raise InvalidRequestError(f"the body is {what}") from None


def read_json(text: bytes | bytearray) -> Any:
    """Parse `text`. Raises orjson.JSONDecodeError, and MemoryError where there is too little memory.

    Without it orjson would end the process (SIGSEGV), or call the text wrong.
    """
    if len(text) > _FEW_BYTES:
        containers = count_byte(text, b"[") + count_byte(text, b"{")
        members, values = count_byte(text, b":"), count_byte(text, b",")
        objects_bytes = containers * _CONTAINER_BYTES + members * _MEMBER_BYTES + values * _VALUE_BYTES
        ensure_room(len(text) * _BYTES_PER_CHARACTER + objects_bytes)
    return orjson.loads(text)


def decode_object(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a JSON object.

    Raises InvalidRequestError for syntax, depth, duplicate keys and anything but an object, and
    PayloadTooLargeError for excessive numbers of values.
    """
    document = decode_value(body)
    if type(document) is not dict:
        raise InvalidRequestError("the body must be a JSON object")
    try:
        # Every key brings one colon. Only where there are more, in strings or behind a key used twice, a
        # slower parser looks again.
        if count_byte(body, b":") != _count_keys(document):
            _refuse_duplicate_keys(body)
    except RecursionError:  # Python's own limit is a little below orjson's
        raise InvalidRequestError("the body is not valid JSON: it is nested too deeply") from None
    return document


def decode_tensor(
    spec: TensorSpec,
    shape: Sequence[int],
    data: object,
    body: bytes | bytearray,
    *,
    takes_whole_floats: bool = True,
) -> Array:
    """Make an array of `shape` from nested or flat JSON data, which came in `body`.

    `takes_whole_floats`: 1.0 is an integer; TensorFlow Serving refuses it.

    Raises InvalidRequestError naming the input.
    """
    values = flatten(spec, data)
    expected = count_elements(shape)
    if len(values) != expected:
        raise InvalidRequestError(
            f"input '{spec.name}' has {len(values)} values, but shape {list(shape)} needs {expected}"
        )
    if spec.datatype is BYTES:
        check_text_count(spec, expected)
        return _strings(spec, values).reshape(shape)
    if spec.datatype is BOOL:
        return _booleans(spec, values).reshape(shape)
    if _holds_booleans(values, body):
        raise InvalidRequestError(f"input '{spec.name}' has a boolean among {spec.datatype.name} values")
    return _numbers(spec, values, takes_whole_floats=takes_whole_floats).reshape(shape)


# What orjson begins with.
_MIN_JSON_BYTES = 2048
# The longest number and a comma, twice: orjson doubles its buffer.
_MAX_NUMBER_BYTES = 64
# The most that a character of a text takes, twice.
_MAX_CHARACTER_BYTES = 12


def write_json(value: object, values: int, characters: int = 0) -> bytes:
    """Serialize `value` with so many numbers or texts, numpy arrays among them, and characters of texts.

    Raises MemoryError where there is too little memory; orjson would end the process (SIGSEGV).
    """
    size_bytes = _MIN_JSON_BYTES + values * _MAX_NUMBER_BYTES + characters * _MAX_CHARACTER_BYTES
    if size_bytes > _FEW_BYTES:
        ensure_room(size_bytes)
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def count_characters(array: Array) -> int:
    """Characters of an array of texts; 0 for numbers."""
    return sum(map(len, array.flat)) if array.dtype.hasobject else 0


def encode_values(spec: TensorSpec, array: Array) -> bytes:
    """The JSON of an output's elements, nested by their shape, of at least one dimension."""
    if spec.datatype is BYTES:
        return write_json(array.tolist(), array.size, count_characters(array))
    numbers = fp32_from_bf16(array) if spec.datatype is BF16 else contiguous(array)
    text = write_json(numbers, numbers.size)
    if b"null" not in text:
        return text
    return text_with_tokens(numbers, numbers[~np.isfinite(numbers)])


def text_with_tokens(data: Array, special: Array) -> bytes:
    """JSON of an array of floats; `special` are its NaN and infinities in row-major order."""
    text = write_json(data, data.size).split(b"null")
    tokens = [b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity" for value in special]
    return b"".join(chain.from_iterable(zip(text, [*tokens, b""], strict=True)))


def _check_counts(body: bytes | bytearray) -> None:
    """Refuse what would take long, and much memory, before it is parsed. Raises PayloadTooLargeError."""
    if count_byte(body, b"[") + count_byte(body, b"{") > MAX_CONTAINERS:
        raise PayloadTooLargeError(
            f"the body has more than {MAX_CONTAINERS} arrays and objects; send tensor data as one flat array"
        )
    if count_byte(body, b",") > MAX_VALUES and _has_more_values(body, MAX_VALUES):
        raise PayloadTooLargeError(
            f"the body has more than {MAX_VALUES} values that are not in large arrays of numbers; "
            "send fewer at once, or binary data"
        )


def _has_more_values(body: bytes | bytearray, limit: int) -> bool:
    """Whether more than `limit` commas stand outside of texts."""
    commas = start = 0
    within_text = False
    while start < len(body) and commas <= limit:
        piece = bytes(body[start : start + PIECE_BYTES])
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        if backslashes % 2:
            piece += body[start + len(piece) : start + len(piece) + 1]  # what is escaped
        start += len(piece)
        # Without what is escaped every quote is the beginning or the end of a text.
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        commas += sum(part.count(b",") for part in parts[within_text::2])
        within_text ^= len(parts) % 2 == 0
    return commas > limit


def _holds_booleans(values: Sequence[Any], body: bytes | bytearray) -> bool:
    """`struct` takes true for 1. Many values are only looked at where the text has a true or false."""
    if len(values) > _FEW_VALUES and find_word(body, b"true") < 0 and find_word(body, b"false") < 0:
        return False
    return bool in map(type, values)


def flatten(spec: TensorSpec, data: object) -> Sequence[Any]:
    """Row-major values of a rectangular nested list; a bare value counts as one.

    Raises InvalidRequestError where rows differ in length.
    """
    if type(data) is not list:
        return [data]
    values: list[Any] = data
    while values and type(values[0]) is list:
        if set(map(type, values)) != {list} or len(set(map(len, values))) != 1:
            raise InvalidRequestError(f"input '{spec.name}' has nested data whose rows differ in length")
        values = list(chain.from_iterable(values))
    return values


def _numbers(spec: TensorSpec, values: Sequence[Any], *, takes_whole_floats: bool) -> Array:
    with suppress(struct.error, OverflowError):
        return _pack(spec.datatype, values)
    if takes_whole_floats and not spec.datatype.is_float:
        values = [_whole(value) for value in values]
    try:
        return _pack(spec.datatype, values)
    except (struct.error, OverflowError):
        kind = "numbers" if spec.datatype.is_float else "integers"
        raise InvalidRequestError(
            f"input '{spec.name}' needs {kind} in the range of {spec.datatype.name}"
            f"{_first_wrong(spec.datatype, values)}"
        ) from None


def _whole(value: object) -> object:
    """JSON has one kind of numbers, so some clients write 1.0 for 1. Beyond 2**53 that may be another one."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) <= _MAX_WHOLE else value


def _pack(datatype: Datatype, values: Sequence[Any]) -> Array:
    """An array of numbers. Raises struct.error and OverflowError for what the datatype lacks."""
    packed = struct.pack(f"<{len(values)}{datatype.pack_code}", *values)
    if datatype is BF16:
        return bf16_from_fp32(np.frombuffer(packed, dtype=np.float32))
    return np.frombuffer(packed, dtype=datatype.numpy)


def _first_wrong(datatype: Datatype, values: Sequence[Any]) -> str:
    for index, value in enumerate(values):
        try:
            _pack(datatype, [value])
        except (struct.error, OverflowError):
            return f"; value {index} is {_shown(value)}"
    return ""


def _shown(value: object) -> str:
    """A value as JSON has it, cut short; arrays and objects, which may be deep, by what they are."""
    if isinstance(value, list | dict):
        return "an array" if isinstance(value, list) else "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS] + "..."


def _booleans(spec: TensorSpec, values: Sequence[Any]) -> Array:
    if not all(type(value) is bool or (type(value) in (int, float) and value in (0, 1)) for value in values):
        raise InvalidRequestError(f"input '{spec.name}' needs true or false (or 1 or 0) as BOOL values")
    return np.array(values, dtype=np.bool_)


def _strings(spec: TensorSpec, values: Sequence[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value if type(value) is str else _string_from_base64(spec, value)
    return array


def _string_from_base64(spec: TensorSpec, value: object) -> str:
    if type(value) is dict and len(value) == 1 and type(value.get("b64")) is str:
        try:
            return base64.b64decode(value["b64"], validate=True).decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequestError(
                f"input '{spec.name}' has bytes that are not UTF-8; ONNX strings are UTF-8"
            ) from None
        except ValueError:  # binascii's error, or letters that are not even ASCII
            raise InvalidRequestError(f"input '{spec.name}' has a 'b64' value that is not base64") from None
    raise InvalidRequestError(
        f'input \'{spec.name}\' needs strings or {{"b64": "..."}} as BYTES values, not {_shown(value)}'
    )


def _count_keys(document: dict[str, Any]) -> int:
    """Keys of an object and of objects below it; arrays whose first element is no object are passed over."""
    count = len(document)
    for member in document.values():
        kind = type(member)
        if kind is dict:
            count += _count_keys(member)
        elif kind is list and member and type(member[0]) is dict:
            for element in member:
                if type(element) is dict:
                    count += _count_keys(element)
    return count


def _refuse_duplicate_keys(body: bytes | bytearray) -> None:
    try:
        json.loads(body, object_pairs_hook=refuse_duplicate_members)
    except RecursionError:
        raise InvalidRequestError("the body is not valid JSON: it is nested too deeply") from None


def refuse_duplicate_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` of the standard library's parser. Raises InvalidRequestError."""
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidRequestError(f"the key {key[:80]!r} appears twice in one JSON object")
            seen.add(key)
    return members
