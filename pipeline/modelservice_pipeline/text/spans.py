"""Where in a vector of codes something begins and ends, for all places at once."""

from collections.abc import Mapping, Sequence

import numpy as np

from modelservice_pipeline.text.characters import SEPARATOR, Characters, positions, shift_left, shift_right
from modelservice_pipeline.text.graph import INT64, Graph, Value

_STEP = 1 << 31  # more than there are codes, atoms included


class Trie:
    """Sequences of codes and their numbers, as a hash table of steps that a graph can walk.

    There are two roots: 0 and 1, for sequences that begin a word and for those that go on with one.
    """

    def __init__(
        self, words: Mapping[tuple[int, ...], int], more: Mapping[tuple[int, ...], int] | None = None
    ):
        self._steps: dict[int, int] = {}
        self._numbers: list[int] = [-1, -1]
        for root, sequences in ((0, words), (1, more or {})):
            for sequence, number in sequences.items():
                self._insert(root, sequence, number)

    def _insert(self, state: int, sequence: tuple[int, ...], number: int) -> None:
        for code in sequence:
            key = state * _STEP + code
            if key not in self._steps:
                self._steps[key] = len(self._numbers)
                self._numbers.append(-1)
            state = self._steps[key]
        self._numbers[state] = number

    def step(self, graph: Graph, states: Value, codes: Value) -> Value:
        """Return the states that codes lead to; -1 where there is no such sequence."""
        table = (np.array(list(self._steps)), np.array(list(self._steps.values())))
        return graph.lookup(graph.where(states >= 0, states * _STEP + codes, -1), table, -1)

    def number(self, graph: Graph, states: Value) -> Value:
        """Return the numbers of the sequences that end in states; -1 where none does."""
        return graph.constant(np.array(self._numbers)).gather(graph.op("Max", states, 0))

    def longest(self, graph: Graph, codes: Value, roots: Value) -> tuple[Value, Value]:
        """Return the end and the number of the longest sequence from each place; -1 and -1 where none is.

        Args:
            graph: The graph.
            codes: Codes [T].
            roots: 0 or 1 to begin at a place, -1 not to; [T].
        """
        place = graph.range(codes.size(0))

        def step(iteration: Value, state: Value, ahead: Value, end: Value, best: Value) -> tuple[Value, ...]:
            state = self.step(graph, state, ahead)
            number = self.number(graph, state)
            hit = number >= 0
            end = graph.where(hit, place + iteration + 1, end)
            best = graph.where(hit, number, best)
            return (state >= 0).any(), state, shift_left(ahead, SEPARATOR), end, best

        none = graph.full(codes.size(0), -1)
        _, _, end, best = graph.loop(step, roots, codes, none, none)
        return end, best


def reached(graph: Graph, jumps: Value, first: Value) -> Value:
    """Return which places are reached from the first ones by jumping; bools [T].

    Args:
        graph: The graph.
        jumps: Where to jump from each place: to itself or onwards; [T].
        first: Where to begin; bools [T].
    """

    def step(_: Value, seen: Value, jumps: Value) -> tuple[Value, ...]:
        seen = graph.op("ScatterElements", seen, jumps, seen, reduction="max")
        further = jumps.gather(jumps)
        return (~further.equals(jumps)).any(), seen, further

    seen, _ = graph.loop(step, first.cast(INT64), jumps)
    return seen.equals(1)


def begins(codes: Value) -> Value:
    """Return where pieces begin, as bools; an empty piece begins at its separator."""
    return shift_right(codes, SEPARATOR).equals(SEPARATOR)


def last_before(which: Value) -> Value:
    """Return for each place the last one up to it where `which` [T] is true; -1 where there is none."""
    return which.graph.concat(np.array([-1]), positions(which)).gather(which.cumulate())


def first_after(which: Value) -> Value:
    """Return for each place the first one from it on where `which` [T] is true; the last entry must be."""
    return positions(which).gather(which.cumulate() - which.cast(INT64))


def odd_ones(graph: Graph, which: Value) -> Value:
    """Return the first, third, ... of places beside each other where `which` [T] is true."""
    distance = graph.range(which.size(0)) - last_before(~which)
    return which & graph.op("Mod", distance, 2).equals(1)


def separate(graph: Graph, characters: Characters, first: Value, keep: Value | None = None) -> Characters:
    """Begin a piece at each place where `first` [T] is true, and drop the characters not to be kept."""
    codes, rows = characters.codes, characters.rows
    first = first & ~begins(codes)
    kept = graph.full(codes.size(0), True) if keep is None else keep
    both = graph.concat(first.unsqueeze(1), kept.unsqueeze(1), axis=1).reshape(-1)
    bars = graph.full(codes.size(0), SEPARATOR)
    return Characters(
        graph.concat(bars.unsqueeze(1), codes.unsqueeze(1), axis=1).reshape(-1).compress(both),
        graph.concat(rows.unsqueeze(1), rows.unsqueeze(1), axis=1).reshape(-1).compress(both),
        characters.count,
    )


def expand(graph: Graph, characters: Characters, replacements: Value) -> Characters:
    """Put several codes, or none, in the place of each; `replacements` [T, width] end in -1."""
    rows = graph.op("Expand", characters.rows.unsqueeze(1), replacements.shape()).reshape(-1)
    codes = replacements.reshape(-1)
    return Characters(codes, rows, characters.count).keep(codes >= 0)


def padded(texts: Sequence[Sequence[int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return sequences as a matrix whose rows end in -1."""
    width = max(map(len, texts))
    return np.array([[*text, *[-1] * (width - len(text))] for text in texts], np.int64)
