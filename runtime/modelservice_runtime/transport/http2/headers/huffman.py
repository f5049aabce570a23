"""The Huffman code of HPACK (RFC 7541, 5.2 and appendix B); decoding only; pure but for its table."""

from functools import cache
from typing import TypeAlias

# The code is canonical: the codes of a length follow each other in the order of their symbols.
_SYMBOLS_BY_BITS: dict[int, bytes] = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: bytes([92, 195, 208]),
    20: bytes([128, 130, 131, 162, 184, 194, 224, 226]),
    21: bytes([153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]),
    22: bytes([129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185])
    + bytes([186, 187, 189, 190, 196, 198, 228, 232, 233]),
    23: bytes([1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166])
    + bytes([168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239]),
    24: bytes([9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]),
    25: bytes([199, 207, 234, 235]),
    26: bytes([192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]),
    27: bytes([203, 204, 211, 212, 214, 221, 222, 223, 241, *range(244, 249), *range(250, 255)]),
    28: bytes([*range(2, 9), 11, 12, *range(14, 22), *range(23, 32), 127, 220, 249]),
    30: bytes([10, 13, 22]),
}
_END_OF_STRING_BITS = 30
_NO_SYMBOL = -1


def _build_codes() -> dict[str, int]:
    """Every code as a string of 0 and 1, with its symbol; without EOS, which never occurs in a string."""
    codes: dict[str, int] = {}
    code = bits = 0
    for length, symbols in _SYMBOLS_BY_BITS.items():
        code <<= length - bits
        bits = length
        for symbol in symbols:
            codes[f"{code:0{bits}b}"] = symbol
            code += 1
    return codes


def _build_transitions() -> tuple[list[tuple[int, int]], frozenset[int]]:
    """A state is a proper prefix of codes; entry `state * 16 + nibble` is the next state and the symbol.

    A code has at least five bits, so four bits end at most one. EOS leads to a last state without an exit.
    Also returns the states in which a string may end: the padding is the beginning of EOS, all ones, and
    shorter than a byte.
    """
    codes = _build_codes()
    prefixes = {code[:length] for code in codes for length in range(len(code))}
    prefixes |= {"1" * length for length in range(_END_OF_STRING_BITS)}
    states = {prefix: number for number, prefix in enumerate(sorted(prefixes, key=len))}
    transitions = [
        _follow(prefix, f"{nibble:04b}", codes, states) for prefix in states for nibble in range(16)
    ]
    transitions += [(len(states), _NO_SYMBOL)] * 16
    return transitions, frozenset(states["1" * length] for length in range(8))


def _follow(prefix: str, bits: str, codes: dict[str, int], states: dict[str, int]) -> tuple[int, int]:
    symbol = _NO_SYMBOL
    for bit in bits:
        prefix += bit
        if prefix in codes:
            symbol, prefix = codes[prefix], ""
    return states.get(prefix, len(states)), symbol


# A byte's way through two nibbles, made when it is first needed: next state times 256, and the symbols.
_Steps: TypeAlias = list[tuple[int, bytes] | None]


@cache
def _tables() -> tuple[list[tuple[int, int]], frozenset[int], _Steps]:
    """Transitions, final states and steps, made for the first string: it takes as long as many a model."""
    transitions, final_states = _build_transitions()
    return transitions, final_states, [None] * (16 * len(transitions))


def decode_huffman(data: bytes) -> bytes:
    """Decode a string literal; raises ValueError for EOS in it or wrong padding."""
    _, final_states, steps = _tables()
    decoded = bytearray()
    state = 0
    for byte in data:
        state, symbols = steps[state + byte] or _build_step(state, byte)
        decoded += symbols
    if state >> 8 not in final_states:
        raise ValueError("EOS or wrong padding in a Huffman string")
    return bytes(decoded)


def _build_step(state: int, byte: int) -> tuple[int, bytes]:
    transitions, _, steps = _tables()
    middle, first = transitions[state >> 4 | byte >> 4]
    after, second = transitions[middle << 4 | byte & 15]
    symbols = bytes([symbol for symbol in (first, second) if symbol != _NO_SYMBOL])
    step = steps[state + byte] = (after << 8, symbols)
    return step
