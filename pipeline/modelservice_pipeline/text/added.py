"""Tokens that are written out in texts, such as "[MASK]": they are found before, or after, normalizing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.text.characters import ATOM, SEPARATOR, Characters, shift_right
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.spans import Trie, begins, first_after, last_before, reached, separate
from modelservice_pipeline.text.unicode import WORD, look_up, members


@dataclass(frozen=True)
class AddedToken:
    """A token that texts may name.

    Attributes:
        content: How it is written.
        id: Its number.
        single_word: Whether letters beside it make it an ordinary part of the text.
        lstrip: Whether it takes the whitespace before it.
        rstrip: Whether it takes the whitespace after it.
        normalized: Whether it is looked for in the normalized text.
    """

    content: str
    id: int
    single_word: bool
    lstrip: bool
    rstrip: bool
    normalized: bool


def read_added_tokens(config: Sequence[dict[str, Any]]) -> list[AddedToken]:
    """Return the added tokens of a tokenizer.json."""
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    return [
        AddedToken(token["content"], token["id"], *(bool(token.get(flag)) for flag in flags))
        for token in config
        if token["content"]
    ]


def mark_tokens(graph: Graph, characters: Characters, tokens: Sequence[AddedToken]) -> Characters:
    """Put each token that a text names in its place, as a piece of its own; of several the longest."""
    if not tokens:
        return characters
    codes = characters.codes
    here = graph.range(codes.size(0))
    trie = Trie({tuple(map(ord, token.content)): number for number, token in enumerate(tokens)})
    end, number = trie.longest(graph, codes, graph.full(codes.size(0), 0))
    jumps = graph.where(codes.equals(SEPARATOR), here, graph.where(end >= 0, end, here + 1))
    heads = reached(graph, jumps, begins(codes)) & (end >= 0)
    found = _Found(graph, codes, heads, end, number)
    if any(token.single_word for token in tokens):
        heads = heads & ~found.touches_word(np.array([token.single_word for token in tokens]))
        found = _Found(graph, codes, heads, end, number)
    taken = found.inside & ~heads
    for strip, side in ((found.blank_before, "lstrip"), (found.blank_after, "rstrip")):
        which = np.array([getattr(token, side) for token in tokens])
        if which.any():
            taken = taken | strip(which)
    ids = graph.constant(np.array([ATOM + token.id for token in tokens])).gather(found.number)
    marked = Characters(graph.where(heads, ids, codes), characters.rows, characters.count)
    behind = shift_right(found.inside.cast(INT64), 0).equals(1) & ~found.inside & ~codes.equals(SEPARATOR)
    return separate(graph, marked, heads | behind, ~taken)


class _Found:
    """Tokens found in codes [T].

    Attributes:
        heads: Where they begin; bools [T].
        number: Of each, among all tokens, where it begins; else 0; [T].
        inside: Which codes they are written by; bools [T].
    """

    def __init__(self, graph: Graph, codes: Value, heads: Value, end: Value, number: Value) -> None:
        self.graph = graph
        self.codes = codes
        self.heads = heads
        self.end = end
        self.number = graph.where(heads, number, 0)
        self.head_before = graph.op("Max", last_before(heads), 0)
        ends_behind = graph.where(heads, end, 0).gather(self.head_before) > graph.range(codes.size(0))
        self.inside = ends_behind & (heads.cumulate() > 0)

    def touches_word(self, which: np.ndarray[Any, Any]) -> Value:
        """Where a token begins that is one of `which` and has a letter or digit beside it."""
        word = look_up(self.graph, self.codes, members(WORD).astype(np.int64))
        before = shift_right(word, 0).equals(1)
        after = word.gather(self.graph.op("Max", self.end, 0)).equals(1)
        return self._is_one_of(which) & (before | after)

    def blank_before(self, which: np.ndarray[Any, Any]) -> Value:
        """Return the whitespace before tokens that are one of `which`."""
        solid = ~self._blank()
        return ~solid & self._is_one_of(which).gather(first_after(solid))

    def blank_after(self, which: np.ndarray[Any, Any]) -> Value:
        """Return the whitespace behind tokens that are one of `which`."""
        solid = ~self._blank()
        of_head = self._is_one_of(which).gather(self.head_before) & self.inside
        return ~solid & of_head.gather(self.graph.op("Max", last_before(solid), 0))

    def _is_one_of(self, which: np.ndarray[Any, Any]) -> Value:
        return self.graph.constant(which).gather(self.number) & self.heads

    def _blank(self) -> Value:
        return look_up(self.graph, self.codes, members(r"\s").astype(np.int64)).equals(1) & ~self.inside
