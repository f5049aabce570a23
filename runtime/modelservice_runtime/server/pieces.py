"""Searches in large bodies, a piece at a time; pure.

A search of Python's own in 64 MB keeps every other thread from the interpreter for tens of milliseconds.
"""

PIECE_BYTES = 128 * 1024


def count_byte(body: bytes | bytearray, byte: bytes) -> int:
    """``body.count(byte)``."""
    return sum(body.count(byte, start, start + PIECE_BYTES) for start in range(0, len(body), PIECE_BYTES))


def find_word(body: bytes | bytearray, word: bytes, start: int = 0) -> int:
    """``body.find(word, start)``."""
    for begin in range(start, len(body), PIECE_BYTES):
        found = body.find(word, begin, begin + PIECE_BYTES + len(word) - 1)
        if found >= 0:
            return found
    return -1
