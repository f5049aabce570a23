"""A request's body as it comes in: kept as it is, joined in place, or read straight into its memory.

`large_reads` does the latter for large bodies.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from modelservice_runtime.transport.http import Buffer
from modelservice_runtime.transport.pieces import extend_unwritten

# Below this, what is still to come is likely to be here already, or soon.
MIN_DIRECT_BYTES = 64 * 1024
# Room for a body is made for this many times of what has come: nobody gets memory for a mere announcement.
GROWTH = 16
ALIGNMENT_BYTES = 16  # also malloc's


class TooMuchBufferedError(Exception):
    """The bodies of all connections together exceed the limit, or there is no memory for them."""


@contextmanager
def _allocating() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise TooMuchBufferedError from None


class RequestBody:
    """One body; `size_bytes` counts what has come.

    `reserve` accounts for bytes that are held longer than one packet; it may raise TooMuchBufferedError.
    """

    __slots__ = ("_content", "_padding", "_reserve", "size_bytes")

    def __init__(self, reserve: Callable[[int], None]) -> None:
        self._reserve = reserve
        self._content: Buffer = b""
        self._padding = 0
        self.size_bytes = 0

    def finish(self) -> Buffer:
        """All bytes, once the last one has come; they are not kept here."""
        content, self._content = self._content, b""
        return content[self._padding :] if isinstance(content, memoryview) else content

    def discard(self) -> None:
        """Forget what has come."""
        self._content = b""

    def append(self, piece: bytes) -> None:
        """Add a piece; a first one is kept as it is. Raises TooMuchBufferedError."""
        self.size_bytes += len(piece)
        if not self._content:
            self._content = piece
            return
        if isinstance(self._content, bytes):
            self._reserve(len(self._content))
        self._reserve(len(piece))
        with _allocating():
            if isinstance(self._content, bytes):
                self._content = bytearray(self._content)
            assert isinstance(self._content, bytearray)
            self._content += piece

    def room(self, total_bytes: int, padding_bytes: int | None) -> memoryview:
        """Memory for the next bytes of a body of `total_bytes`, never empty before it is complete.

        With `padding_bytes` the body begins so far behind an aligned address, and `finish` gives a view.
        Raises TooMuchBufferedError.
        """
        received = self.size_bytes
        if isinstance(self._content, bytes):
            self.begin(self._content, total_bytes, padding_bytes)
        elif len(self._content) == self._padding + received:
            self._grow(min(total_bytes - received, received * (GROWTH - 1)))
        return memoryview(self._content)[self._padding + received :]

    def begin(self, piece: Buffer, total_bytes: int, padding_bytes: int | None) -> None:
        """Make room for more of a body of which `piece` is the beginning. Raises TooMuchBufferedError."""
        self.size_bytes = len(piece)
        capacity = min(total_bytes, self.size_bytes * GROWTH)
        self._reserve(capacity)
        with _allocating():
            if padding_bytes is None:
                self._content = bytearray(piece)
                extend_unwritten(self._content, capacity - len(piece))
            else:
                self._content = view = np.empty(padding_bytes + capacity, np.uint8).data
                view[padding_bytes : padding_bytes + len(piece)] = piece
                self._padding = padding_bytes

    def fill(self, piece: memoryview, total_bytes: int, padding_bytes: int | None) -> None:
        """Copy the next bytes of a body of `total_bytes` to where they stay; see `room`.

        Raises TooMuchBufferedError.
        """
        if not self.size_bytes:
            self.begin(piece, total_bytes, padding_bytes)
            return
        while piece:
            with self.room(total_bytes, padding_bytes) as room:
                size_bytes = min(len(room), len(piece))
                room[:size_bytes] = piece[:size_bytes]
            self.size_bytes += size_bytes
            piece = piece[size_bytes:]

    def adopt(self, content: memoryview, size_bytes: int) -> None:
        """Take memory for the whole body, whose first bytes are in it. Raises TooMuchBufferedError."""
        self.size_bytes = size_bytes
        self._content = content
        self._reserve(len(content))

    def _grow(self, added_bytes: int) -> None:
        self._reserve(added_bytes)
        with _allocating():
            if isinstance(self._content, bytearray):
                extend_unwritten(self._content, added_bytes)
            else:
                used = len(self._content)
                grown = np.empty(used + added_bytes, np.uint8).data
                grown[:used] = self._content
                self._content = grown


def padding_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    """How far behind an aligned address a body has to begin so that the tensors in it are aligned.

    Binary tensors follow the JSON, whose length a header tells; numbers at odd addresses would be copied.
    None where there are no such tensors.
    """
    length = headers.get(b"inference-header-content-length", b"")
    return -int(length) % ALIGNMENT_BYTES if length.isdigit() and len(length) < 20 else None
