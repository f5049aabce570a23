"""Answers in pieces, and small pieces together as one; pure.

Some thousand values are written in less than a millisecond, so that a thread that writes many lets others
have the interpreter.
"""

from collections.abc import Callable, Iterable, Iterator

from modelservice_runtime.tensors import Array
from modelservice_runtime.transport.http import Buffer

# Values that are written in one go.
PIECE_VALUES = 16 * 1024
# Below this a copy costs less than a buffer of its own.
COPIED_BYTES = 16 * 1024


def encode_in_pieces(array: Array, encode: Callable[[Array], bytes]) -> Iterator[bytes]:
    """The JSON of an array of at least one dimension, some thousand values at a time.

    `encode` gives the JSON of an array, nested by its shape.
    """
    if array.size <= PIECE_VALUES:
        yield encode(array)
        return
    row_size = array.size // len(array)
    step = max(PIECE_VALUES // row_size, 1)
    for start in range(0, len(array), step):
        yield b"," if start else b"["
        if row_size > PIECE_VALUES:
            yield from encode_in_pieces(array[start], encode)
        else:
            yield encode(array[start : start + step])[1:-1]
    yield b"]"


def join_small(buffers: Iterable[Buffer]) -> list[Buffer]:
    """The same bytes, small neighbours as one buffer."""
    joined: list[Buffer] = []
    small: list[Buffer] = []
    for buffer in buffers:
        if len(buffer) < COPIED_BYTES:
            small.append(buffer)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(buffer)
    return [*joined, b"".join(small)] if small else joined


def as_body(buffers: Iterable[Buffer]) -> bytes | list[Buffer]:
    """An HTTP answer's body of these bytes: one buffer where it is small."""
    joined = join_small(buffers)
    return b"".join(joined) if len(joined) < 2 else joined
