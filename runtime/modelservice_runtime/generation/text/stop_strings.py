"""Strings that end a text: found across the borders of pieces, and never given out in part."""

from collections.abc import Sequence

from modelservice_runtime.errors import InvalidRequestError

MAX_STRINGS = 16
MAX_CHARACTERS = 1024


class StopStrings:
    """Looks for the string that is complete first, as if the text came character by character.

    Raises InvalidRequestError where there are too many, or one is empty or too long.
    """

    __slots__ = ("_held", "_includes", "_strings", "found")

    def __init__(self, strings: Sequence[str], *, include: bool = False) -> None:
        if len(strings) > MAX_STRINGS:
            raise InvalidRequestError(f"stop has {len(strings)} strings, expected at most {MAX_STRINGS}")
        for string in strings:
            if not 1 <= len(string) <= MAX_CHARACTERS:
                raise InvalidRequestError(
                    f"a string of stop has {len(string)} characters, expected 1 to {MAX_CHARACTERS}"
                )
        self._strings = tuple(strings)
        self._includes = include
        self._held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """The text that is certain to come before any stop string."""
        if not self._strings:
            return piece
        text = self._held + piece
        ends = [(at + len(string), at) for string in self._strings if (at := text.find(string)) >= 0]
        if ends:
            end, begin = min(ends)
            self.found, self._held = True, ""
            return text[: end if self._includes else begin]
        held = max(overlap(text, string) for string in self._strings)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def end(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, string: str) -> int:
    """How many characters at the end of `text` begin `string`."""
    for length in range(min(len(string) - 1, len(text)), 0, -1):
        if text.endswith(string[:length]):
            return length
    return 0
