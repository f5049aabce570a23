"""A text as words that can be taken out of it; pure."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.errors import PipelineError

Masks = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
"""Variants of an input, [variants, features]: True where the feature is as in the input."""

_STANDS_ALONE = (
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK
    (0xF900, 0xFAFF),  # CJK compatibility
    (0x20000, 0x3FFFF),  # CJK extensions B and on
)
"""Scripts without spaces: each character counts as a word."""


@dataclass(frozen=True)
class Words:
    """A text cut into words and what is between them.

    Attributes:
        pieces: The whole text, in order.
        owners: For each piece its feature, -1 for what is between words and always stays.
        features: The distinct words, or each word by itself, in the order of the text.
    """

    pieces: tuple[str, ...]
    owners: tuple[int, ...]
    features: tuple[str, ...]

    def without(self, mask: Sequence[bool] | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
        """Return the text with those words alone that the mask keeps."""
        return "".join(
            piece for piece, owner in zip(self.pieces, self.owners, strict=True) if owner < 0 or mask[owner]
        )

    def variants(self, masks: Masks) -> list[str]:
        """Return a text for each mask."""
        return [self.without(mask) for mask in masks]


def split_words(text: str, *, each: bool = False) -> Words:
    """Split a text at everything that is no letter, mark, digit or underscore.

    Args:
        text: What the model is asked.
        each: Every word is a feature of its own; by default equal words are one, taken out together.

    Raises PipelineError for a text without anything in it.
    """
    runs = list(_runs(text))
    if not any(is_word for _, is_word in runs):  # signs or emoji alone
        runs = [(character, not character.isspace()) for character in text]
    numbers: dict[tuple[str, int], int] = {}
    owners = []
    for position, (piece, is_word) in enumerate(runs):
        key = (piece, position if each else 0)
        owners.append(numbers.setdefault(key, len(numbers)) if is_word else -1)
    if not numbers:
        raise PipelineError("the text has no words: give one with at least one")
    return Words(tuple(piece for piece, _ in runs), tuple(owners), tuple(word for word, _ in numbers))


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    for position in range(1, len(text) + 1):
        if position < len(text) and not _ends(text[position - 1], text[position]):
            continue
        if piece := text[start:position]:
            yield piece, _is_letter(piece[0])
        start = position


def _ends(before: str, after: str) -> bool:
    if _is_letter(before) != _is_letter(after):
        return True
    return (_stands_alone(before) or _stands_alone(after)) and not unicodedata.combining(after)


def _stands_alone(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _STANDS_ALONE)


def _is_letter(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LMN"
