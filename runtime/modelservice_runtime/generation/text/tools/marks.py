"""A text that is searched for marks while it comes."""

from collections.abc import Sequence

from modelservice_runtime.generation.text.stop_strings import overlap


class Marks:
    """Tells what comes before the next mark, and holds back what may be the beginning of one.

    Spaces before a mark belong to it: they are held back too.
    """

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = tuple(marks)
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None, str]:
        """The text before the first mark, the mark where there is one, and what comes behind it."""
        text, self._held = self._held + text, ""
        found = [(place, mark) for mark in self._marks if (place := text.find(mark)) >= 0]
        if found:
            place, mark = min(found)
            return text[:place].rstrip(), mark, text[place + len(mark) :]
        held = max(overlap(text, mark) for mark in self._marks)
        certain = text[: len(text) - held].rstrip()
        self._held = text[len(certain) :]
        return certain, None, ""

    def end(self) -> str:
        """What was held back."""
        held, self._held = self._held, ""
        return held
