r"""What characters are and become, as the library `tokenizers` sees it: its answers, as tables for a graph.

Asking the library instead of Python's `unicodedata` brings the same version of Unicode, and its own readings
of classes such as `\s`.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.characters import CODES, Characters
from modelservice_pipeline.text.graph import Graph, Value
from modelservice_pipeline.text.spans import expand, padded

# Names of classes, where the source of one is expected, that the library has beside regular expressions.
PUNCTUATION = "punctuation"
WORD = "word"
"""Letters, digits and what else the library takes for parts of words."""
NEITHER_WORD_NOR_SPACE = "neither word nor space"

_APART = {
    PUNCTUATION: pre_tokenizers.Punctuation("isolated"),
    NEITHER_WORD_NOR_SPACE: pre_tokenizers.Whitespace(),
}

_PAGE = 256
# Planes of unassigned and of private characters are asked by their first and last ones, where tables have
# their edges; the second one stands for those between.
_PLANES = [*range(0x40000, 0xE0000, 0x10000), 0xE1000, 0xF0000, 0x100000]
_EDGES = [
    code for plane in _PLANES for code in (plane, plane + 1, *range(plane | 0xFFFC, (plane | 0xFFFF) + 1))
]
_ASKED = [
    code for code in (*range(0x40000), *range(0xE0000, 0xE1000), *_EDGES) if not 0xD800 <= code < 0xE000
]
_LETTER = re.compile(r"[A-Za-z]|\(\?i:[A-Za-z']\)")
_RUNE = "ᚠ"  # no normalizer changes it or makes one
_ASKED_TEXT = "".join(map(chr, _ASKED))


@dataclass(frozen=True, eq=False)
class Pages:
    """Integers of all code points and one more for all other codes, of which most are the same."""

    order: np.ndarray[Any, Any]
    """For each page of codes, which of the different ones it is; [pages]."""
    entries: np.ndarray[Any, Any]
    """The different pages, one behind another; [different * page(, width)]."""

    @classmethod
    def of(cls, entries: np.ndarray[Any, Any]) -> Self:
        """Find the different pages of entries [CODES + 1(, width)]."""
        tail = entries.shape[1:]
        padded = np.zeros(((CODES // _PAGE + 1) * _PAGE, *tail), np.int64)
        padded[: CODES + 1] = entries
        numbers: dict[bytes, int] = {}
        pages = padded.reshape(CODES // _PAGE + 1, -1)
        order = [numbers.setdefault(page.tobytes(), len(numbers)) for page in pages]
        return cls(np.array(order), np.frombuffer(b"".join(numbers), np.int64).reshape(-1, *tail))


def look_up(graph: Graph, codes: Value, entries: np.ndarray[Any, Any] | Pages) -> Value:
    """Return the entry of each code.

    Args:
        graph: The graph.
        codes: Codes [T].
        entries: Integers of all code points and one more for all other codes; [CODES + 1(, width)].
    """
    pages = entries if isinstance(entries, Pages) else Pages.of(entries)
    clipped = graph.op("Min", codes, CODES)
    page = clipped / _PAGE
    place = clipped + (graph.constant(pages.order).gather(page) - page) * _PAGE
    return graph.constant(pages.entries).gather(place)


def replace_characters(graph: Graph, characters: Characters, changes: dict[int, list[int]]) -> Characters:
    """Put other characters, or none, in the place of some."""
    return _replace(graph, characters, _pages_of(changes)) if changes else characters


def normalize_characters(graph: Graph, characters: Characters, normalizer: str) -> Characters:
    """Put what a normalizer of single characters (see `expansions`) makes of them in their place."""
    pages = _expansion_pages(normalizer)
    return characters if pages is None else _replace(graph, characters, pages)


@cache
def _expansion_pages(normalizer: str) -> Pages | None:
    changes = {code: [ord(letter) for letter in text] for code, text in expansions(normalizer).items()}
    return _pages_of(changes) if changes else None


def _pages_of(changes: dict[int, list[int]]) -> Pages:
    """What stands in the place of each character [CODES + 1, width].

    It counts from the character itself, so that pages without changes are one page.
    """
    entries = np.full((CODES + 1, max(1, *map(len, changes.values()))), -1)
    entries[:, 0] = np.arange(CODES + 1)
    entries[list(changes)] = padded([*changes.values(), [0] * entries.shape[1]])[:-1]
    entries[:, 0] -= np.arange(CODES + 1)
    return Pages.of(entries)


def _replace(graph: Graph, characters: Characters, pages: Pages) -> Characters:
    width = pages.entries.shape[1]
    codes = characters.codes.unsqueeze(1)
    own = graph.constant(np.arange(width).reshape(1, -1)).equals(0)
    written = look_up(graph, characters.codes, pages) + graph.where(own, codes, 0)
    return expand(graph, characters, graph.where(codes < CODES, written, graph.where(own, codes, -1)))


@cache
def members(source: str) -> np.ndarray[Any, Any]:
    r"""Return which code points a class of a regular expression, such as `[^\s\p{L}]`, has; [CODES + 1].

    Raises PipelineError where the library does not understand it.
    """
    if source in _APART:
        return _apart(_APART[source])
    if source == WORD:
        return np.append(~(members(NEITHER_WORD_NOR_SPACE) | members(r"\s"))[:CODES], False)
    try:
        pattern = Regex(f"(?:{source})+")
    except Exception as error:  # noqa: BLE001 - the library raises Exception itself
        raise PipelineError(f"the regular expression {source!r} is not understood: {error}") from None
    found = np.zeros(len(_ASKED), bool)
    asked = _cased() if _LETTER.fullmatch(source) else np.arange(len(_ASKED))
    text = "".join(_ASKED_TEXT[place] for place in asked)
    for _, (start, end) in pre_tokenizers.Split(pattern, "removed", invert=True).pre_tokenize_str(text):
        found[asked[start:end]] = True
    return np.append(found[_sources()], False)


@cache
def _cased() -> np.ndarray[Any, Any]:
    """Return the places of ASCII and of characters that have another case: only those can be a letter's."""
    return np.array(
        [
            place
            for place, one in enumerate(_ASKED_TEXT)
            if one.isascii() or not one.lower() == one.upper() == one.casefold() == one
        ]
    )


def _apart(pre_tokenizer: Any) -> np.ndarray[Any, Any]:
    """Return which code points are a piece of their own between letters."""
    found = np.zeros(len(_ASKED), bool)
    for _, (start, end) in pre_tokenizer.pre_tokenize_str("x".join(_ASKED_TEXT)):
        if end == start + 1 and start % 2 == 0:
            found[start // 2] = True
    return np.append(found[_sources()], False)


@cache
def expansions(normalizer: str) -> dict[int, str]:
    """Return what a normalizer makes of each single character, where that is another text.

    Args:
        normalizer: JSON, as a tokenizer.json has it; of a kind that looks at no neighbours.
    """
    library = library_normalizer(json.loads(normalizer))
    after = library.normalize_str(_RUNE.join(_ASKED_TEXT)).split(_RUNE)
    place = ord(_RUNE)  # itself between two others: two empty texts where it stood
    after[place : place + 2] = [_RUNE]
    changed = {number for number, text in enumerate(after) if text != _ASKED_TEXT[number]}
    sources = _sources()
    return {
        code: after[sources[code]]
        for code in np.nonzero(np.isin(sources, list(changed)))[0].tolist()
        if not 0xD800 <= code < 0xE000
    }


def library_normalizer(config: dict[str, Any]) -> Any:
    """Return the library's own normalizer, of the part of a tokenizer.json."""
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    return Tokenizer.from_str(json.dumps({"normalizer": config, "model": empty})).normalizer


@cache
def _sources() -> np.ndarray[Any, Any]:
    """Return, for each code point, the place in what is asked of itself or of one of its kind."""
    sources = np.zeros(CODES, np.int64)
    for plane in _PLANES:
        sources[plane : (plane | 0xFFFF) + 1] = _ASKED.index(plane + 1)
    sources[_ASKED] = np.arange(len(_ASKED))
    return sources
