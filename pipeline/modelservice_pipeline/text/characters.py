"""Texts as numbers: the characters of all texts of a batch one after another, in one vector.

No operator of ONNX tells the number of a character. MurmurHash3 of ONNX Runtime can: it is a bijection of
up to four bytes of known length, a character has one to four in UTF-8, and of the four numbers that a
hash may stand for only one is UTF-8. For 29 of all characters there are two; those are looked up by a second
hash beside the first. So no table of characters is needed.
"""

from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.text.graph import INT64, Graph, Value

CODES = 0x110000
"""One more than the last code point."""
SEPARATOR = CODES
"""Stands behind every piece of a text, and belongs to no class of characters."""
ATOM = SEPARATOR + 1
"""ATOM + n stands for token n, where a text names a token itself; it belongs to no class either."""

_CHUNK = 32  # characters; to cut texts at once into single ones would pad them all to the longest one
_BITS = 0xFFFFFFFF
_PAIR = 1 << 31  # makes one key of two hashes
# The constants of MurmurHash3 (32 bits), by Austin Appleby, and their inverses modulo 2**32.
_C1, _C2, _M1, _M2 = 0xCC9E2D51, 0x1B873593, 0x85EBCA6B, 0xC2B2AE35
# By the length of a character in bytes: which bits tell that it is of this length, and how they stand.
_MARKS = np.array([[0xFFFFFF80], [0xFFFFC0E0], [0xFFC0C0F0], [0xC0C0C0F8]])
_PATTERNS = np.array([[0], [0x80C0], [0x8080E0], [0x808080F0]])
# The bits of the code point in each byte, and what they are worth.
_PAYLOADS = np.array([[0x7F, 0, 0, 0], [0x1F, 0x3F, 0, 0], [0x0F, 0x3F, 0x3F, 0], [0x07, 0x3F, 0x3F, 0x3F]])
_WEIGHTS = np.array([[1, 0, 0, 0], [1 << 6, 1, 0, 0], [1 << 12, 1 << 6, 1, 0], [1 << 18, 1 << 12, 1 << 6, 1]])
# With this seed the fewest hashes stand for two characters; those that have such a hash.
_SEED = 34
_SECOND_SEED = 0
_AMBIGUOUS = (
    0x256, 0x666, 0x9D7, 0x10C4, 0x3A3C, 0x3FEB, 0x4951, 0x4FFF, 0x54D7, 0x61EF, 0x61FF, 0x6814, 0x7380,
    0x739A, 0x761B, 0x7C14, 0x8375, 0x8D3A, 0x90FB, 0xCB93, 0xFC77, 0x22964, 0x57546, 0x704E3, 0x771D0,
    0xAE26A, 0xEF26F, 0xF8031, 0x10F856,
)  # fmt: skip


@dataclass(frozen=True)
class Characters:
    """The characters of a batch.

    Attributes:
        codes: Code points, SEPARATOR behind each piece, ATOM and more for tokens; [T].
        rows: To which text each belongs, ascending; [T]. Every text has at least one separator.
        count: The number of texts; a scalar.
    """

    codes: Value
    rows: Value
    count: Value

    def keep(self, which: Value) -> "Characters":
        """Return those for which `which` [T] is true."""
        return Characters(self.codes.compress(which), self.rows.compress(which), self.count)


def read_characters(graph: Graph, text: Value) -> Characters:
    """Return the characters of texts [N]."""
    closed = graph.op("StringConcat", text, graph.strings(["\n"]))
    padded = _split(graph, closed, tokenexp=f"(?s).{{1,{_CHUNK}}}")
    flat = padded.reshape(-1)
    filled = positions(~flat.equals(graph.strings([""])))
    characters = _split(graph, flat.gather(filled), separators=[""])
    first, second = (_hashes(graph, characters, seed) for seed in (_SEED, _SECOND_SEED))
    places = positions(~first.equals(_hash(b"", _SEED)))
    rows = (filled / padded.size(1)).gather(places / characters.size(1))
    codes = _code_points(graph, first.gather(places), second.gather(places))
    last = shift_left(rows, -1).equals(rows)
    return Characters(graph.where(last, codes, SEPARATOR), rows, text.size(0))


def positions(which: Value) -> Value:
    """Return where a vector is true, ascending."""
    return which.graph.op("NonZero", which).squeeze(0)


def shift_left(values: Value, last: int) -> Value:
    """Return, for each entry of a vector, the one behind it."""
    return values.graph.concat(values.slice(1, 2**62), np.array([last]))


def shift_right(values: Value, first: int) -> Value:
    """Return, for each entry of a vector, the one before it."""
    return values.graph.concat(np.array([first]), values.slice(0, -1))


def _split(graph: Graph, text: Value, **how: object) -> Value:
    return graph.op("Tokenizer", text, domain="com.microsoft", mark=0, pad_value="", mincharnum=1, **how)


def _hashes(graph: Graph, characters: Value, seed: int) -> Value:
    hashes = graph.op("MurmurHash3", characters, domain="com.microsoft", positive=1, seed=seed)
    return hashes.cast(INT64).reshape(-1)


def _code_points(graph: Graph, hashes: Value, second: Value) -> Value:
    blocks = _unhash(graph, hashes)
    fits = graph.op("BitwiseAnd", blocks, _MARKS).equals(_PATTERNS)
    block = graph.where(fits, blocks, 0).sum(0)
    length = graph.op("ArgMax", fits.cast(INT64), axis=0, keepdims=0)
    payload = graph.op("BitwiseAnd", _bytes(block), graph.constant(_PAYLOADS).gather(length))
    codes = (payload * graph.constant(_WEIGHTS).gather(length)).sum(1)
    known = graph.lookup(hashes * _PAIR + second, (_AMBIGUOUS_HASHES, np.array(_AMBIGUOUS)), -1)
    return graph.where(known >= 0, known, codes)


def _unhash(graph: Graph, hashes: Value) -> Value:
    """Return the bytes, as a little-endian number, that have a hash if they are 1, 2, 3 or 4; [4, T]."""
    h = _unshift(graph, hashes, 16)
    h = _times(graph, h, pow(_M2, -1, 2**32))
    h = graph.op("BitwiseXor", _unshift(graph, h, 13), h / (1 << 26))
    h = _times(graph, h, pow(_M1, -1, 2**32))
    h = graph.op("BitwiseXor", _unshift(graph, h, 16), np.array([[1], [2], [3], [4]]))
    whole = _rotate(
        graph, _times(graph, h.gather(np.array([3])) + (2**32 - 0xE6546B64), pow(5, -1, 2**32)), 19
    )
    h = graph.concat(h.gather(np.array([0, 1, 2])), whole)
    h = graph.op("BitwiseXor", h, _SEED)
    h = _rotate(graph, _times(graph, h, pow(_C2, -1, 2**32)), 17)
    return _times(graph, h, pow(_C1, -1, 2**32))


def _unshift(graph: Graph, h: Value, bits: int) -> Value:
    return graph.op("BitwiseXor", h, h / (1 << bits))


def _times(graph: Graph, h: Value, factor: int) -> Value:
    """Multiply modulo 2**32. The product itself may leave 64 bits; its low half is right all the same."""
    return graph.op("BitwiseAnd", h * factor, _BITS)


def _rotate(graph: Graph, h: Value, left: int) -> Value:
    low = graph.op("BitwiseAnd", h * (1 << left), _BITS)
    return low + h / (1 << (32 - left))


def _bytes(block: Value) -> Value:
    """Return the four bytes of little-endian numbers [T]; [T, 4]."""
    graph = block.graph
    return graph.op("BitwiseAnd", block.unsqueeze(1) / np.array([1, 1 << 8, 1 << 16, 1 << 24]), 0xFF)


def utf8_bytes(graph: Graph, codes: Value) -> Value:
    """Return the UTF-8 bytes of code points [T], -1 where there are fewer than four; [T, 4]."""
    length = (codes.unsqueeze(1) >= graph.constant(np.array([0x80, 0x800, 0x10000]))).cast(INT64).sum(1)
    places = np.where(_WEIGHTS > 0, _WEIGHTS, 1)
    marks = np.array(
        [[0, -1, -1, -1], [0xC0, 0x80, -1, -1], [0xE0, 0x80, 0x80, -1], [0xF0, 0x80, 0x80, 0x80]]
    )
    shifted = codes.unsqueeze(1) / graph.constant(places).gather(length)
    payload = graph.op("BitwiseAnd", shifted, graph.constant(_PAYLOADS).gather(length))
    return payload + graph.constant(marks).gather(length)


def _hash(data: bytes, seed: int) -> int:
    """Return the MurmurHash3 of up to four bytes, as ONNX Runtime does."""
    block = int.from_bytes(data, "little") * _C1 & _BITS
    h = seed ^ (_turn(block, 15) * _C2 & _BITS)
    if len(data) == 4:
        h = (_turn(h, 13) * 5 + 0xE6546B64) & _BITS
    h ^= len(data)
    h = (h ^ h >> 16) * _M1 & _BITS
    h = (h ^ h >> 13) * _M2 & _BITS
    return h ^ h >> 16


def _turn(h: int, left: int) -> int:
    return (h << left | h >> (32 - left)) & _BITS


_AMBIGUOUS_HASHES = np.array(
    [
        _hash(chr(code).encode(), _SEED) * _PAIR + _hash(chr(code).encode(), _SECOND_SEED)
        for code in _AMBIGUOUS
    ]
)
