"""Searches in and copies of large bodies, a piece at a time; pure.

A search of Python's own in 64 MB keeps every other thread from the interpreter for tens of milliseconds.
"""

import ctypes

PIECE_BYTES = 128 * 1024

_resize = ctypes.pythonapi.PyByteArray_Resize
_resize.argtypes = (ctypes.py_object, ctypes.c_ssize_t)


def extend_unwritten(content: bytearray, size_bytes: int) -> None:
    """Lengthen `content` by bytes that the caller is about to write; `extend` would write zeros first."""
    _resize(content, len(content) + size_bytes)


def copy_part(body: bytes | bytearray, start: int, end: int) -> bytearray:
    """`body[start:end]`."""
    copied = bytearray()
    extend_unwritten(copied, end - start)
    with memoryview(body) as source, memoryview(copied) as target:
        for begin in range(0, end - start, PIECE_BYTES):
            size_bytes = min(PIECE_BYTES, end - start - begin)
            target[begin : begin + size_bytes] = source[start + begin : start + begin + size_bytes]
    return copied


def count_byte(body: bytes | bytearray, byte: bytes) -> int:
    """`body.count(byte)`."""
    return sum(body.count(byte, start, start + PIECE_BYTES) for start in range(0, len(body), PIECE_BYTES))


def find_word(body: bytes | bytearray, word: bytes, start: int = 0, end: int | None = None) -> int:
    """`body.find(word, start, end)`."""
    stop = len(body) if end is None else end
    for begin in range(start, stop, PIECE_BYTES):
        found = body.find(word, begin, min(begin + PIECE_BYTES + len(word) - 1, stop))
        if found >= 0:
            return found
    return -1
