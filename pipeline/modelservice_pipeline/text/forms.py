"""Unicode's normal forms (UAX #15): decomposed by a table, marks sorted, then composed pair by pair."""

import json
import unicodedata
from functools import cache
from typing import Any

import numpy as np
from tokenizers import normalizers

from modelservice_pipeline.text.characters import CODES, Characters, shift_left, shift_right
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.spans import last_before, odd_ones
from modelservice_pipeline.text.unicode import expansions, look_up, normalize_characters

_STEP = 1 << 21  # more than there are code points


def normal_form(graph: Graph, characters: Characters, form: str) -> Characters:
    """Bring texts into NFC, NFD, NFKC or NFKD."""
    decomposed = json.dumps({"type": form.replace("C", "D")})
    characters = normalize_characters(graph, characters, decomposed)
    characters = Characters(_sort_marks(graph, characters.codes), characters.rows, characters.count)
    return _compose(graph, characters) if form.endswith("C") else characters


@cache
def _classes() -> np.ndarray[Any, Any]:
    """Return the canonical combining classes of all code points; 0 for starters; [CODES + 1].

    Marks that are newer than the library's version of Unicode are starters for it: they do not move before
    the mark of the highest class.
    """
    classes = np.array([unicodedata.combining(chr(code)) for code in range(CODES)] + [0])
    form, highest = normalizers.NFD(), "\u0345"
    for code in np.nonzero(classes)[0].tolist():
        if chr(code) != highest and form.normalize_str(highest + chr(code))[-1] != highest:
            classes[code] = 0
    return classes


@cache
def _pairs() -> dict[int, int]:
    """Return the character that two compose to, by both as one number."""
    form = normalizers.NFC()
    pairs: dict[int, int] = {}
    for code, text in expansions(json.dumps({"type": "NFD"})).items():
        first = form.normalize_str(text[:-1])
        if len(text) > 1 and len(first) == 1 and form.normalize_str(first + text[-1]) == chr(code):
            pairs[ord(first) * _STEP + ord(text[-1])] = code
    return pairs


def _sort_marks(graph: Graph, codes: Value) -> Value:
    """Sort marks that follow one another by their classes; those of one class keep their order."""

    def wrong(codes: Value) -> Value:
        classes = look_up(graph, codes, _classes())
        following = shift_left(classes, 0)
        return (classes > following) & (following > 0)

    def step(_: Value, codes: Value) -> tuple[Value, ...]:
        swap = odd_ones(graph, wrong(codes))
        swapped = shift_right(swap.cast(INT64), 0).equals(1)
        sorted_ = graph.where(swap, shift_left(codes, 0), graph.where(swapped, shift_right(codes, 0), codes))
        return wrong(sorted_).any(), sorted_

    (result,) = graph.loop(step, codes, go_on=wrong(codes).any())
    return result


def _compose(graph: Graph, characters: Characters) -> Characters:
    """Compose marks with the starter before them, from left to right, one for each starter in a round.

    A mark behind one of its class, or a starter behind any mark, does not reach the starter. A mark that was
    passed over once is not tried again.
    """
    pairs = _pairs()
    table = (np.array(list(pairs)), np.array(list(pairs.values())))

    def find(codes: Value, passed: Value) -> tuple[Value, Value, Value]:
        classes = look_up(graph, codes, _classes())
        starts = classes.equals(0)
        before = shift_right(last_before(starts), -1)
        before = graph.where(starts, before, last_before(starts))
        starter = codes.gather(graph.op("Max", before, 0))
        adjacent = (graph.range(codes.size(0)) - before).equals(1)
        reaches = adjacent | (shift_right(classes, 0) < classes)
        inside = (starter < CODES) & (codes < CODES) & (before >= 0)
        keys = graph.where(inside & reaches, starter * _STEP + codes, -1)
        made = graph.lookup(keys, table, -1)
        return graph.where(passed.equals(1), -1, made), before, starts

    def step(_: Value, codes: Value, passed: Value, rows: Value) -> tuple[Value, ...]:
        made, before, starts = find(codes, passed)
        here = graph.range(codes.size(0))
        hit = made >= 0
        # A starter that is itself composed away in this round takes no mark in it.
        gone = hit & starts
        hit = hit & ~(gone.gather(graph.op("Max", before, 0)))
        first = graph.op(
            "ScatterElements",
            graph.full(codes.size(0), 1 << 62),
            graph.op("Max", before, 0),
            graph.where(hit, here, 1 << 62),
            reduction="min",
        )
        chosen = hit & first.gather(graph.op("Max", before, 0)).equals(here)
        taken = first < (1 << 62)
        composed = graph.where(taken, made.gather(graph.where(taken, first, 0)), codes)
        of_starter = first.gather(graph.op("Max", before, 0))
        passed = graph.where((of_starter < (1 << 62)) & (of_starter > here) & ~starts, 1, passed)
        composed, passed, rows = (value.compress(~chosen) for value in (composed, passed, rows))
        made, _, _ = find(composed, passed)
        return (made >= 0).any(), composed, passed, rows

    none = graph.full(characters.codes.size(0), 0)
    made, _, _ = find(characters.codes, none)
    codes, _, rows = graph.loop(step, characters.codes, none, characters.rows, go_on=(made >= 0).any())
    return Characters(codes, rows, characters.count)
