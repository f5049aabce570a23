"""The text of one JSON array within a body, and how it is cut into shorter arrays; nothing is copied."""

import re
from collections.abc import Generator

from modelservice_runtime.transport.pieces import find_word

_OPENING = re.compile(rb"[ \t\r\n]{0,64}(\[+)")


class ArrayText:
    """What lies between `start` and `end` in `body`, which is changed and restored by `split`."""

    __slots__ = ("_body", "_end", "_start")

    def __init__(self, body: bytearray, start: int = 0, end: int | None = None) -> None:
        self._body = body
        self._start = start
        self._end = len(body) if end is None else end

    def __len__(self) -> int:
        """Bytes."""
        return self._end - self._start

    def __bytes__(self) -> bytes:
        """A copy."""
        return bytes(self._view(self._start, self._end))

    def without_brackets(self) -> "ArrayText | None":
        """The one array that this one holds, where nothing but brackets is around it."""
        is_one = self._body.startswith(b"[[", self._start, self._end)
        if is_one and find_word(self._body, b"]", self._start, self._end) == self._end - 2:
            return ArrayText(self._body, self._start + 1, self._end - 1)
        return None

    def count_openings(self) -> int:
        """Brackets that the text begins with; 0 for an array with no more elements like its first."""
        opening = _OPENING.match(self._body, self._start, self._end)
        if opening is None:
            return 0
        depth = len(opening.group(1))
        is_nested = depth == 1 and find_word(self._body, b"[", opening.end(), self._end) >= 0
        return 0 if is_nested else depth

    def split(self, depth: int, piece_bytes: int) -> Generator[memoryview, None, None]:
        """Cut an array into shorter ones between its elements; it is valid where each of them is, not empty.

        While a piece is out, brackets stand where the commas around it were. A cut within an element would
        leave two pieces of which neither is an array. `depth` comes from `count_openings`.
        """
        body, start = self._body, self._start
        separator = b"]" * (depth - 1) + b","
        commas: list[int] = []
        try:
            while depth and self._end - start > 2 * piece_bytes:
                found = find_word(body, separator, start + piece_bytes, self._end)
                if found < 0:
                    break
                comma = found + depth - 1
                commas.append(comma)
                body[comma] = ord("]")
                yield self._view(start, comma + 1)
                body[comma] = ord("[")
                start = comma
            yield self._view(start, self._end)
        finally:
            for comma in commas:
                body[comma] = ord(",")

    def _view(self, start: int, end: int) -> memoryview:
        return memoryview(self._body)[start:end]
