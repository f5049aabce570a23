"""Normalizers: they rewrite texts before they are cut into pieces.

Read from what a tokenizer.json says. Those that look at one character at a time are one table, whatever they
do, with the library's own answers; Unicode's normal forms are tables and a few rounds of joining.
"""

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.characters import SEPARATOR, Characters
from modelservice_pipeline.text.folding import check_folding
from modelservice_pipeline.text.forms import normal_form
from modelservice_pipeline.text.graph import Graph
from modelservice_pipeline.text.matching import match_ends
from modelservice_pipeline.text.pattern import parse
from modelservice_pipeline.text.spans import begins, expand, first_after, last_before
from modelservice_pipeline.text.split import Step, escape, find_matches, put_before, write_bytes
from modelservice_pipeline.text.unicode import expansions, look_up, members, normalize_characters


def read_normalizer(config: dict[str, Any] | None) -> list[Step]:
    """Return the steps that a normalizer takes. Raises PipelineError for what is not supported."""
    steps: list[Step] = []
    for is_table, group in groupby(_flatten(config), _is_table):
        parts = list(group)
        if is_table:
            steps.append(_by_table({"type": "Sequence", "normalizers": parts}))
        else:
            steps.extend(_read(part) for part in parts)
    return steps


def _flatten(config: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the single normalizers in order, each with those that make it one of single characters."""
    if config is None:
        return []
    if config["type"] != "Sequence":
        return [config]
    flat = [part for inner in config["normalizers"] for part in _flatten(inner)]
    for place in range(len(flat) - 1):
        # Decomposing is a matter of neighbours only where marks are reordered, and these are dropped.
        if flat[place]["type"] in ("NFD", "NFKD") and flat[place + 1]["type"] == "StripAccents":
            flat[place] = {"type": "Sequence", "normalizers": flat[place : place + 2]}
    return flat


def _is_table(config: dict[str, Any]) -> bool:
    if config["type"] == "Replace":
        pattern = config["pattern"]
        return len(pattern.get("String", "")) == 1
    return config["type"] in ("BertNormalizer", "Lowercase", "Sequence", "StripAccents", "Nmt")


def _read(config: dict[str, Any]) -> Step:
    kind = config["type"]
    if kind not in _KINDS:
        raise PipelineError(f"the normalizer {kind} is not supported")
    return _KINDS[kind](config)


def _read_strip(config: dict[str, Any]) -> Step:
    def step(graph: Graph, characters: Characters) -> Characters:
        codes = characters.codes
        solid = look_up(graph, codes, members(r"\s").astype(np.int64)).equals(0)
        blank = ~solid
        drop = graph.full(codes.size(0), False)
        if config.get("strip_left", True):
            before = graph.op("Max", last_before(solid), 0)
            drop = drop | (blank & (codes.gather(before).equals(SEPARATOR) | last_before(solid).equals(-1)))
        if config.get("strip_right", True):
            drop = drop | (blank & codes.gather(first_after(solid)).equals(SEPARATOR))
        return characters.keep(~drop)

    return step


def _read_prepend(config: dict[str, Any]) -> Step:
    def step(graph: Graph, characters: Characters) -> Characters:
        return put_before(graph, characters, config["prepend"], begins(characters.codes))

    return step


def _read_replace(config: dict[str, Any]) -> Step:
    pattern = config["pattern"]
    node = parse(pattern["Regex"] if "Regex" in pattern else escape(pattern["String"]))
    check_folding(node)
    content = [ord(letter) for letter in config["content"]]

    def step(graph: Graph, characters: Characters) -> Characters:
        codes = characters.codes
        heads, matched = find_matches(graph, codes, match_ends(graph, codes, node))
        row = np.array([[*content, -1]])
        only = graph.constant(np.array([[True, *[False] * len(content)]]))
        kept = graph.where(only, codes.unsqueeze(1), -1)
        written = graph.where(heads.unsqueeze(1), row, graph.where(matched.unsqueeze(1), -1, kept))
        return expand(graph, characters, written)

    return step


def _read_form(config: dict[str, Any]) -> Step:
    return lambda graph, characters: normal_form(graph, characters, config["type"])


_KINDS: dict[str, Callable[[dict[str, Any]], Step]] = {
    "ByteLevel": lambda _: write_bytes,
    "NFC": _read_form,
    "NFD": _read_form,
    "NFKC": _read_form,
    "NFKD": _read_form,
    "Prepend": _read_prepend,
    "Replace": _read_replace,
    "Strip": _read_strip,
}


def _by_table(config: dict[str, Any]) -> Step:
    normalizer = json.dumps(config, sort_keys=True)
    expansions(normalizer)  # asked now, so that one that the library refuses is told when it is read
    return lambda graph, characters: normalize_characters(graph, characters, normalizer)
