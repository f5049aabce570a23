"""Large arrays of numbers in JSON, parsed without a Python object for each number; pure.

Such arrays are cut out of the body. A placeholder takes their place in what remains, which the ordinary
decoder reads with all its checks; the arrays themselves are simdjson's, which writes the numbers side by side
into memory. JSON's grammar makes that safe: what the decoder sees and what the body says differ only in the
value of a member, and every cut value is parsed as one JSON array of its own. A placeholder that comes out
anywhere but in an input's data means that the cut was wrong: the whole body is decoded then.

simdjson refuses what orjson refuses. What it cannot do (integers beyond 64 bits) and every error is left to
the ordinary decoder, whose sentences say more.
"""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import orjson
import simdjson

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.protocols.tensors.array_text import ArrayText
from modelservice_runtime.protocols.tensors.json_codec import decode_object
from modelservice_runtime.tensors import (
    BF16,
    BOOL,
    BYTES,
    MAX_RANK,
    Array,
    TensorSpec,
    bf16_from_fp32,
    count_elements,
)
from modelservice_runtime.transport.pieces import PIECE_BYTES, copy_part, find_word

# Below this the ordinary decoder is about as fast.
_MIN_ARRAY_BYTES = 16 * 1024
_MAX_ARRAYS = 64
# simdjson keeps the interpreter to itself for about a millisecond for this much.
_PIECE_BYTES = 512 * 1024
_DATA = ("data",)
# Keys that are longer are found where they do not lie across two pieces.
_MAX_KEY_BYTES = 1024
# All that may stand in an array of numbers but brackets and commas.
_NUMBERS = b"0123456789+-.eE \t\r\n"
# Nobody can guess it, so nobody can send it.
_TOKEN = secrets.token_hex(16)
_BufferType: TypeAlias = Literal["d", "i", "u"]
Decoded = TypeVar("Decoded")
_SIMDJSON_ERRORS = (RuntimeError, TypeError, ValueError)


class LargeArrays:
    """The large arrays of one body. `rest` is the body with placeholders in their places."""

    def __init__(self, rest: bytes, arrays: list[ArrayText]) -> None:
        self.rest = rest
        self._arrays = arrays
        self._used: set[int] = set()

    @property
    def all_used(self) -> bool:
        """True when every array was an input's data."""
        return len(self._used) == len(self._arrays)

    def find(self, data: object) -> ArrayText | None:
        """The text of the array that `data` is the placeholder of; None where it is none."""
        if type(data) is not list or len(data) != 2 or data[0] != _TOKEN:
            return None
        self._used.add(data[1])
        return self._arrays[data[1]]


def cut_large_arrays(body: bytes | bytearray, keys: Sequence[str] = _DATA) -> LargeArrays | None:
    """Cut arrays that follow one of `keys` out of a body; None where none is large.

    What is cut holds neither a quote nor the end of an object, so no text and no member is in it.
    """
    pieces: list[bytes | bytearray] = []
    arrays: list[ArrayText] = []
    position = kept_from = 0
    object_end = -1
    pattern = _key_pattern(keys)
    while len(arrays) < _MAX_ARRAYS:
        start = _end_of_key(pattern, body, position)
        if start < 0:
            break
        if object_end < start:  # looked for once, not again for every key before it
            object_end = find_word(body, b"}", start)
            if object_end < 0:
                break
        end = _end_of_numbers(body, start, object_end)
        position = max(end, start)
        if end - start >= _MIN_ARRAY_BYTES:
            pieces += [body[kept_from:start], b'["%b",%d]' % (_TOKEN.encode("ascii"), len(arrays))]
            arrays.append(_text_of(body, start, end))
            kept_from = end
    if not arrays:
        return None
    return LargeArrays(b"".join([*pieces, body[kept_from:]]), arrays)


def decode_with_arrays_cut(
    body: bytes | bytearray,
    decode: Callable[[LargeArrays, dict[str, Any]], Decoded],
    keys: Sequence[str] = _DATA,
) -> Decoded | None:
    """What `decode` makes of a body whose large arrays are cut out, and of the document that remains.

    None without any, and for all that is wrong.
    """
    large = cut_large_arrays(body, keys) if len(body) >= _MIN_ARRAY_BYTES else None
    if large is None:
        return None
    try:
        decoded = decode(large, decode_object(large.rest))
    except InvalidRequestError:
        return None
    return decoded if large.all_used else None


def decode_large_array(spec: TensorSpec, shape: Sequence[int], text: ArrayText) -> Array | None:
    """Make an array of `shape`; None where the ordinary decoder has to look, or to say what is wrong."""
    values = decode_nested_array(spec, text)
    return None if values is None or values.size != count_elements(shape) else values.reshape(shape)


def decode_nested_array(spec: TensorSpec, text: ArrayText) -> Array | None:
    """Make an array of the shape that the brackets in `text` have; None as above."""
    if spec.datatype is BOOL:
        return _parse_booleans(text)
    if spec.datatype is BYTES:
        return None
    parsed = _parse_numbers(text, _buffer_type(spec))
    if parsed is None or len(parsed[1]) > MAX_RANK:
        return None
    values = _convert(spec, parsed[0])
    return None if values is None else values.reshape(parsed[1])


@lru_cache(maxsize=64)
def _key_pattern(keys: Sequence[str]) -> re.Pattern[bytes]:
    """Matches any of the keys as JSON has them, with the colon behind."""
    quoted = (json.dumps(key, ensure_ascii=False).encode("utf-8") for key in keys)
    return re.compile(b"(?:" + b"|".join(map(re.escape, quoted)) + b"):")


def _end_of_key(pattern: re.Pattern[bytes], body: bytes | bytearray, start: int) -> int:
    """Behind the first match of `_key_pattern` from `start` on; -1 without one."""
    for begin in range(start, len(body), PIECE_BYTES):
        key = pattern.search(body, begin, begin + PIECE_BYTES + _MAX_KEY_BYTES)
        if key is not None:
            return key.end()
    return -1


def _end_of_numbers(body: bytes | bytearray, start: int, object_end: int) -> int:
    """Behind the last bracket before anything that no array of numbers holds; 0 without one."""
    quote = find_word(body, b'"', start)
    return body.rfind(b"]", start, object_end if quote < 0 else min(quote, object_end)) + 1


def _text_of(body: bytes | bytearray, start: int, end: int) -> ArrayText:
    if isinstance(body, bytearray):
        return ArrayText(body, start, end)
    return ArrayText(copy_part(body, start, end))


def _buffer_type(spec: TensorSpec) -> _BufferType:
    if spec.datatype.is_float:
        return "d"
    return "u" if spec.datatype.name == "UINT64" else "i"


def _parse_numbers(text: ArrayText, buffer_type: _BufferType) -> tuple[Array, list[int]] | None:
    """All numbers of a rectangular array as float64, int64 or uint64, and the lengths of its rows."""
    row = text.without_brackets()
    if row is not None:
        parsed = _parse_numbers(row, buffer_type)
        return parsed and (parsed[0], [1, *parsed[1]])
    parts: list[Array] = []
    rows, shape = 0, None
    depth = text.count_openings()
    if depth > MAX_RANK:
        return None
    with closing(text.split(depth, _PIECE_BYTES)) as pieces:
        for piece in pieces:
            parsed = _parse_piece(piece, buffer_type, is_flat=depth == 1)
            if parsed is None or len(piece) == len(text):
                return parsed
            flat, lengths = parsed
            if not flat.size or shape not in (None, lengths[1:]):
                return None  # there was nothing between two commas, or rows of another shape
            rows, shape = rows + lengths[0], lengths[1:]
            parts.append(flat)
    return np.concatenate(parts), [rows, *(shape or [])]


def _parse_booleans(text: ArrayText) -> Array | None:
    """A flat array of true, false, 1 and 0."""
    parts: list[Array] = []
    with closing(text.split(text.count_openings(), _PIECE_BYTES)) as pieces:
        for piece in pieces:
            try:
                values = orjson.loads(piece)
            except orjson.JSONDecodeError:
                return None
            if not values or not set(map(type, values)) <= {bool, int} or not set(values) <= {0, 1}:
                return None
            parts.append(np.array(values, np.bool_))
    return np.concatenate(parts)


def _parse_piece(
    text: memoryview, buffer_type: _BufferType, *, is_flat: bool
) -> tuple[Array, list[int]] | None:
    try:
        # A parser of its own: a kept one would keep memory for the largest body ever seen.
        array: Any = simdjson.Parser().parse(text)
        if not isinstance(array, simdjson.Array):
            return None
        lengths = [len(array)] if is_flat else _row_lengths(array, bytes(text))
        if lengths is None:
            return None
        buffer = array.as_buffer(of_type=buffer_type)
    except _SIMDJSON_ERRORS:
        return None
    flat = np.frombuffer(buffer, dtype={"d": np.float64, "i": np.int64, "u": np.uint64}[buffer_type])
    # An empty row among rows of one number has no comma too few.
    return (flat, lengths) if flat.size == count_elements(lengths) else None


def _row_lengths(array: Any, text: bytes) -> list[int] | None:
    """Lengths of nested rows, outermost first; None where brackets and commas are not those of such rows."""
    lengths: list[int] = []
    row = array
    while isinstance(row, simdjson.Array):
        lengths.append(len(row))
        if not len(row):
            return None
        row = row[0]
    if count_elements(lengths) > len(text):
        return None  # rows of other lengths; what these would look like might not fit in memory
    structure = b"," * (lengths[-1] - 1)
    for length in reversed(lengths[:-1]):
        structure = b",".join([b"[" + structure + b"]"] * length)
    return lengths if text.translate(None, delete=_NUMBERS) == b"[" + structure + b"]" else None


def _convert(spec: TensorSpec, flat: Array) -> Array | None:
    """To the input's datatype; None where a value is out of its range."""
    datatype = spec.datatype
    if datatype.is_float:
        with np.errstate(over="ignore"):
            narrow = flat.astype(np.float32 if datatype is BF16 else datatype.numpy, copy=False)
        if np.isinf(narrow).any():
            return None
        if datatype is not BF16:
            return narrow
        try:
            return bf16_from_fp32(narrow)
        except OverflowError:
            return None
    limits = np.iinfo(datatype.numpy)
    if flat.size and (flat.min() < limits.min or flat.max() > limits.max):
        return None
    return flat.astype(datatype.numpy, copy=False)
