"""Large answers over TLS, a piece at a time.

A TLS transport encrypts all it is given at once, and keeps memory for as much until the connection ends: each
idle client would hold what its largest answer took.
"""

from collections import deque
from collections.abc import Callable, Sequence

from modelservice_runtime.transport.http import Buffer

# As much as a transport takes before it asks for a pause.
PIECE_BYTES = 256 * 1024


class Piecewise:
    """Answers' buffers on their way to `write`; `size_bytes` wait here."""

    def __init__(self, write: Callable[[memoryview], None]) -> None:
        self._write = write
        self._pieces: deque[memoryview] = deque()
        self.size_bytes = 0

    def put(self, buffers: Sequence[Buffer]) -> None:
        """Add an answer."""
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            self.size_bytes += view.nbytes
            self._pieces += [
                view[start : start + PIECE_BYTES] for start in range(0, view.nbytes, PIECE_BYTES)
            ]

    def write_next(self) -> bool:
        """Write a piece; False where there is none."""
        if not self._pieces:
            return False
        piece = self._pieces.popleft()
        self.size_bytes -= piece.nbytes
        self._write(piece)
        return True
