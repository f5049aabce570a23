"""Byte pair encoding: pairs of symbols are joined, the one of lowest rank first, in all pieces at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.text.characters import shift_left, shift_right
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.spans import odd_ones

_NO_RANK = 1 << 62
_PLACES = 1 << 31  # more than there are symbols in a batch
Merge = tuple[int, int, int]
"""Left symbol, right symbol, and the symbol that they become; the place in the list is the rank."""


@dataclass(frozen=True)
class Symbols:
    """Symbols of the pieces of all texts, one after another.

    Attributes:
        ids: Symbols; -1 behind each piece, at least once for each text; [T].
        rows: To which text each belongs, ascending; [T].
        count: The number of texts; a scalar.
    """

    ids: Value
    rows: Value
    count: Value

    def keep(self, which: Value) -> "Symbols":
        """Return those for which `which` [T] is true."""
        return Symbols(self.ids.compress(which), self.rows.compress(which), self.count)


def merge_pairs(graph: Graph, symbols: Symbols, merges: Sequence[Merge]) -> Symbols:
    """Join pairs within pieces until none is left that may be joined."""
    if not merges:
        return symbols
    width = 1 + max(max(merge) for merge in merges)
    ranks: dict[int, int] = {}
    for rank, (left, right, _) in enumerate(merges):
        ranks[left * width + right] = rank  # of two equal pairs the last one counts, as for `tokenizers`
    table = (np.array(list(ranks)), np.array(list(ranks.values())))
    products = np.array([product for _, _, product in merges])
    at_once = _all_at_once(merges)

    def step(_: Value, ids: Value, rows: Value) -> tuple[Value, ...]:
        following = shift_left(ids, -1)
        within = (ids >= 0) & (following >= 0)
        keys = graph.where(within, ids * width + following, -1)
        rank = graph.lookup(keys, table, _NO_RANK)
        chosen = _choose(graph, rank, ids < 0, at_once)
        joined = graph.where(chosen, graph.constant(products).gather(graph.where(chosen, rank, 0)), ids)
        kept = ~shift_right(chosen.cast(INT64), 0).equals(1)
        return chosen.any(), joined.compress(kept), rows.compress(kept)

    ids, rows = graph.loop(step, symbols.ids, symbols.rows)
    return Symbols(ids, rows, symbols.count)


def _choose(graph: Graph, rank: Value, ends: Value, at_once: bool) -> Value:
    """Return which pairs to join now: of each piece those of the lowest rank, and of these the first ones."""
    piece = ends.cumulate() - ends.cast(INT64)
    none = graph.full(rank.size(0), _NO_RANK)
    if not at_once:
        rank = graph.where(rank < _NO_RANK, rank * _PLACES + graph.range(rank.size(0)), _NO_RANK)
    lowest = graph.op("ScatterElements", none, piece, rank, reduction="min").gather(piece)
    candidates = (rank < _NO_RANK) & rank.equals(lowest)
    return odd_ones(graph, candidates) if at_once else candidates  # of "aaa" the first two are joined


def _all_at_once(merges: Sequence[Merge]) -> bool:
    """Whether all pairs of the lowest rank may be joined at once.

    They may where nothing that a merge makes is part of a merge of lower or equal rank: then joining the
    first one brings no pair that would have to come before the second.
    """
    made: dict[int, int] = {}
    for rank, (_, _, product) in enumerate(merges):
        made[product] = rank
    return all(
        made.get(part, -1) < rank for rank, (left, right, _) in enumerate(merges) for part in (left, right)
    )
