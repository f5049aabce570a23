"""Pre-tokenizers: they cut texts into the pieces within which a model makes tokens.

Read from what a tokenizer.json says; a kind or an option that is not supported is refused by its name.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.characters import CODES, SEPARATOR, Characters, shift_right, utf8_bytes
from modelservice_pipeline.text.folding import check_folding
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.matching import match_ends
from modelservice_pipeline.text.pattern import Choice, Class, Node, Run, parse
from modelservice_pipeline.text.spans import begins, expand, last_before, reached, separate
from modelservice_pipeline.text.unicode import NEITHER_WORD_NOR_SPACE, PUNCTUATION, WORD

Step: TypeAlias = Callable[[Graph, Characters], Characters]
"""One thing done to all texts of a batch."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = Choice((Run(Class(WORD), 1, None), Run(Class(NEITHER_WORD_NOR_SPACE), 1, None)))


def _byte_characters() -> list[int]:
    """Return the printable character by which byte-level tokenizers write each byte, as GPT-2 does."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return [byte if byte in plain else 256 + others.index(byte) for byte in range(256)]


BYTE_CHARACTERS = _byte_characters()


def read_pre_tokenizer(config: dict[str, Any] | None) -> list[Step]:
    """Return the steps that a pre-tokenizer takes. Raises PipelineError for what is not supported."""
    if config is None:
        return []
    kind = config["type"]
    if kind == "Sequence":
        return [step for part in config["pretokenizers"] for step in read_pre_tokenizer(part)]
    if kind not in _KINDS:
        raise PipelineError(f"the pre-tokenizer {kind} is not supported")
    return _KINDS[kind](config)


def _read_bert(_: dict[str, Any]) -> list[Step]:
    return [_cut_by(parse(r"\s"), "Removed"), _cut_by(Class(PUNCTUATION), "Isolated")]


def _read_byte_level(config: dict[str, Any]) -> list[Step]:
    steps: list[Step] = (
        [_prefixed(" ", " ", only_first=False)] if config.get("add_prefix_space", True) else []
    )
    if config.get("use_regex", True):
        steps.append(_cut_by(parse(_GPT2), "Isolated"))
    return [*steps, write_bytes]


def _read_metaspace(config: dict[str, Any]) -> list[Step]:
    mark = config.get("replacement", "▁")
    scheme = config.get("prepend_scheme", "always" if config.get("add_prefix_space", True) else "never")
    steps: list[Step] = [_exchanged(" ", mark)]
    if scheme != "never":
        steps.append(_prefixed(mark, mark, only_first=scheme == "first"))
    if config.get("split", True):
        steps.append(_cut_by(parse(re.escape(mark)), "MergedWithNext"))
    return steps


def _read_split(config: dict[str, Any]) -> list[Step]:
    pattern = config["pattern"]
    source = pattern["Regex"] if "Regex" in pattern else escape(pattern["String"])
    node = parse(source)
    check_folding(node)
    return [_cut_by(node, config["behavior"], config.get("invert", False))]


def escape(text: str) -> str:
    """Write a text as a regular expression that matches it alone."""
    return "".join(f"\\{letter}" if letter in r"\.[]{}()*+?|^$/-" else letter for letter in text)


_KINDS: dict[str, Callable[[dict[str, Any]], list[Step]]] = {
    "BertPreTokenizer": _read_bert,
    "ByteLevel": _read_byte_level,
    "CharDelimiterSplit": lambda config: [_cut_by(parse(escape(config["delimiter"])), "Removed")],
    "Digits": lambda config: [
        _cut_by(parse(r"\p{N}"), "Isolated" if config.get("individual_digits") else "Contiguous")
    ],
    "Metaspace": _read_metaspace,
    "Punctuation": lambda config: [_cut_by(Class(PUNCTUATION), config.get("behavior", "Isolated"))],
    "Split": _read_split,
    "Whitespace": lambda _: [_cut_by(_WORDS, "Removed", invert=True)],
    "WhitespaceSplit": lambda _: [_cut_by(parse(r"\s"), "Removed")],
}


def _cut_by(node: Node, behavior: str, invert: bool = False) -> Step:
    """Cut at what an expression matches: `behavior` says what becomes of the matches."""
    if behavior not in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        raise PipelineError(f"a split with the behavior {behavior} is not supported")
    if invert and behavior.startswith("MergedWith"):
        raise PipelineError(f"an inverted split with the behavior {behavior} is not supported")

    def step(graph: Graph, characters: Characters) -> Characters:
        codes = characters.codes
        heads, matched = find_matches(graph, codes, match_ends(graph, codes, node))
        if invert:
            matched = ~matched & (codes < CODES)
        was_matched = shift_right(matched.cast(INT64), 0).equals(1)
        edge = graph.op("Xor", matched, was_matched)
        first = {
            "Contiguous": edge,
            "Isolated": edge | heads,
            "MergedWithNext": heads,
            "MergedWithPrevious": was_matched & (~matched | heads),
            "Removed": edge | heads,
        }[behavior]
        return separate(graph, characters, first, ~matched if behavior == "Removed" else None)

    return step


def find_matches(graph: Graph, codes: Value, ends: Value) -> tuple[Value, Value]:
    """Return where matches begin that are found one after another, and which characters they cover; [T].

    A place without a match, or with an empty one, is passed over. `ends` are those of `match_ends`.
    """
    here = graph.range(codes.size(0))
    hit = ends > here
    jumps = graph.where(codes.equals(SEPARATOR), here, graph.where(hit, ends, here + 1))
    heads = reached(graph, jumps, begins(codes))
    return heads & hit, hit.gather(last_before(heads))


def _exchanged(old: str, new: str) -> Step:
    def step(graph: Graph, characters: Characters) -> Characters:
        codes = graph.where(characters.codes.equals(ord(old)), ord(new), characters.codes)
        return Characters(codes, characters.rows, characters.count)

    return step


def _prefixed(prefix: str, unless: str, only_first: bool) -> Step:
    """Put a prefix before each piece, or each text, that does not begin with a character."""

    def step(graph: Graph, characters: Characters) -> Characters:
        codes = characters.codes
        place = shift_right(characters.rows, -1).equals(characters.rows)
        place = ~place if only_first else begins(codes)
        return put_before(graph, characters, prefix, place & ~codes.equals(ord(unless)))

    return step


def put_before(graph: Graph, characters: Characters, prefix: str, where: Value) -> Characters:
    """Put a prefix before the characters where `where` [T] is true; never before tokens or separators."""
    codes = characters.codes
    wanted = (where & (codes < CODES)).unsqueeze(1)
    letters = graph.where(wanted, np.array([[ord(letter) for letter in prefix]]), -1)
    return expand(graph, characters, graph.concat(letters, codes.unsqueeze(1), axis=1))


def write_bytes(graph: Graph, characters: Characters) -> Characters:
    """Write each character as its UTF-8 bytes, each byte as a printable character."""
    codes = characters.codes
    table = graph.constant(np.array([*BYTE_CHARACTERS, -1]))
    written = table.gather(utf8_bytes(graph, graph.where(codes < CODES, codes, 0)))
    only = graph.concat(
        codes.unsqueeze(1), graph.full(graph.concat(codes.shape(), np.array([3])), -1), axis=1
    )
    return expand(graph, characters, graph.where((codes < CODES).unsqueeze(1), written, only))
