"""Vectors of n-grams by TF-IDF inside a graph: those of a fitted vectorizer of scikit-learn.

What is a letter, whitespace or the small form of a letter is Python's own answer for each character, as
scikit-learn takes it.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.characters import CODES, SEPARATOR, Characters, read_characters, shift_left
from modelservice_pipeline.text.graph import FLOAT, INT64, Graph, Value
from modelservice_pipeline.text.spans import Trie, begins, expand, first_after, last_before, separate
from modelservice_pipeline.text.split import put_before
from modelservice_pipeline.text.unicode import look_up, replace_characters

_WORDS = {r"(?u)\b\w\w+\b": 2, r"\b\w\w+\b": 2, r"(?u)\b\w+\b": 1, r"\b\w+\b": 1}
"""The expressions of tokens that are supported, by the least length of a word."""
_SIGMA, _FINAL_SIGMA, _SMALL_SIGMA = 0x3A3, 0x3C2, "\u03c3"
_ASSIGNED = [code for code in (*range(0x40000), *range(0xE0000, 0xE1000)) if not 0xD800 <= code < 0xE000]
"""In the other planes there are no characters, or private ones: neither letters nor whitespace."""
_Test = Callable[[str], bool]


def vectorize(graph: Graph, text: Value, vectorizer: Any) -> Value:
    """Return the vectors of texts [N], float32 [N, features].

    Args:
        graph: The graph.
        text: The texts.
        vectorizer: A fitted TfidfVectorizer or CountVectorizer.

    Raises:
        PipelineError: The vectorizer has an option that is not supported, which is named.
    """
    _check(vectorizer)
    characters = read_characters(graph, text)
    characters = _simplify(graph, characters, vectorizer.lowercase, vectorizer.strip_accents == "unicode")
    least, most = vectorizer.ngram_range
    if vectorizer.analyzer == "word":
        counts = _count_words(graph, characters, vectorizer)
    elif vectorizer.analyzer == "char":
        characters = _join_whitespace(graph, characters)
        counts = _count(graph, characters, _features(vectorizer), len(vectorizer.vocabulary_), (least, most))
    else:
        characters = _pad_words(graph, characters)
        counts = _count(
            graph, characters, _features(vectorizer), len(vectorizer.vocabulary_), (least, most), short=True
        )
    return _weigh(graph, counts, vectorizer)


def _check(vectorizer: Any) -> None:
    for name in ("preprocessor", "tokenizer"):
        if getattr(vectorizer, name) is not None:
            raise PipelineError(f"a vectorizer with a {name} of its own is Python code; leave it out")
    if callable(vectorizer.analyzer) or vectorizer.analyzer not in ("word", "char", "char_wb"):
        raise PipelineError("the analyzer of a vectorizer must be word, char or char_wb")
    if vectorizer.strip_accents not in (None, "unicode"):
        raise PipelineError(f"strip_accents={vectorizer.strip_accents!r} is not supported; 'unicode' is")
    if vectorizer.analyzer == "word" and vectorizer.token_pattern not in _WORDS:
        raise PipelineError(
            f"the token_pattern {vectorizer.token_pattern!r} is not supported; {', '.join(_WORDS)} are"
        )


@cache
def _mask(test: _Test) -> np.ndarray[Any, Any]:
    """Return for which code points a test of characters holds, as 0 and 1; [CODES + 1]."""
    mask = np.zeros(CODES + 1, np.int64)
    mask[_ASSIGNED] = [test(chr(code)) for code in _ASSIGNED]
    return mask


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _is_cased(letter: str) -> bool:
    return f"AΣ{letter}".lower()[1] == _SMALL_SIGMA


def _is_passed_over(letter: str) -> bool:
    return f"AΣ{letter}A".lower()[1] == _SMALL_SIGMA and not _is_cased(letter)


def _is(graph: Graph, codes: Value, test: _Test) -> Value:
    return look_up(graph, codes, _mask(test)).equals(1)


@cache
def _simpler(lowercase: bool, accents: bool) -> dict[int, list[int]]:
    changes = {}
    for code in _ASSIGNED:
        text = chr(code).lower() if lowercase else chr(code)
        if accents:
            text = "".join(
                one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one)
            )
        if text != chr(code):
            changes[code] = [ord(letter) for letter in text]
    return changes


def _simplify(graph: Graph, characters: Characters, lowercase: bool, accents: bool) -> Characters:
    if lowercase:
        codes = _end_sigmas(graph, characters.codes)
        characters = Characters(codes, characters.rows, characters.count)
    return replace_characters(graph, characters, _simpler(lowercase, accents))


def _end_sigmas(graph: Graph, codes: Value) -> Value:
    """Write the capital sigma at the end of words small as Python does: the only letter with two forms."""
    cased, solid = _is(graph, codes, _is_cased), ~_is(graph, codes, _is_passed_over)
    before = last_before(solid)
    before = graph.concat(np.array([-1]), before.slice(0, -1))
    after = graph.concat(first_after(solid).slice(1, 2**62), np.array([-1]))
    end = graph.value(-1)
    is_cased = cased.cast(INT64)
    follows = graph.where(before > end, is_cased.gather(graph.op("Max", before, 0)), 0).equals(1)
    goes_on = graph.where(after > end, is_cased.gather(graph.op("Max", after, 0)), 0).equals(1)
    return graph.where(codes.equals(_SIGMA) & follows & ~goes_on, _FINAL_SIGMA, codes)


def _join_whitespace(graph: Graph, characters: Characters) -> Characters:
    """Write two or more characters of whitespace as one space."""
    codes = characters.codes
    blank = _is(graph, codes, _is_space)
    before = graph.concat(np.array([0]), blank.cast(INT64).slice(0, -1)).equals(1)
    after = shift_left(blank.cast(INT64), 0).equals(1)
    joined = graph.where(blank & after & ~before, ord(" "), codes)
    return Characters(joined, characters.rows, characters.count).keep(~(blank & before))


def _is_space(letter: str) -> bool:
    return re.fullmatch(r"\s", letter) is not None


def _pad_words(graph: Graph, characters: Characters) -> Characters:
    """Make each word a piece, with a space on either side."""
    blank = _is(graph, characters.codes, _is_space)
    words = separate(graph, characters, blank, ~blank)
    words = put_before(graph, words, " ", begins(words.codes))
    ends = (words.codes.equals(SEPARATOR) & ~begins(words.codes)).unsqueeze(1)
    spaces = graph.where(ends, ord(" "), -1)
    return expand(graph, words, graph.concat(spaces, words.codes.unsqueeze(1), axis=1))


def _features(vectorizer: Any) -> dict[tuple[int, ...], int]:
    return {tuple(map(ord, term)): int(number) for term, number in vectorizer.vocabulary_.items()}


def _count_words(graph: Graph, characters: Characters, vectorizer: Any) -> Value:
    codes = characters.codes
    letter = _is(graph, codes, _is_word)
    pieces = separate(graph, characters, ~letter, letter | codes.equals(SEPARATOR))
    codes = pieces.codes
    terms = [term.split(" ") for term in vectorizer.vocabulary_]
    numbers = {word: number for number, word in enumerate(sorted({word for term in terms for word in term}))}
    stopped = vectorizer.get_stop_words() or frozenset()
    known = {tuple(map(ord, word)): number for word, number in numbers.items() if word not in stopped}
    stops = {tuple(map(ord, word)): len(numbers) for word in stopped}
    begin = begins(codes) & (codes < CODES)
    end, number = Trie(known | stops).longest(graph, codes, graph.where(begin, 0, -1))
    stop = first_after(codes >= CODES)
    number = graph.where(end.equals(stop), number, len(numbers) + 1)
    long_enough = stop - graph.range(codes.size(0)) >= _WORDS[vectorizer.token_pattern]
    row_ends = codes.equals(SEPARATOR) & ~shift_left(pieces.rows, -1).equals(pieces.rows)
    kept = (begin & long_enough & ~number.equals(len(numbers))) | row_ends
    words = Characters(graph.where(row_ends, SEPARATOR, number), pieces.rows, pieces.count).keep(kept)
    features = {
        tuple(numbers[word] for word in term): int(vectorizer.vocabulary_[" ".join(term)]) for term in terms
    }
    return _count(graph, words, features, len(features), vectorizer.ngram_range)


def _count(
    graph: Graph,
    symbols: Characters,
    features: dict[tuple[int, ...], int],
    size: int,
    lengths: tuple[int, int],
    short: bool = False,
) -> Value:
    """Return how often each feature, a sequence of codes, is in each text; float32 [N, features].

    With `short`, a piece that is shorter than the least length counts as a whole.
    """
    least, most = lengths
    trie = Trie(features)
    begin = begins(symbols.codes)

    def step(iteration: Value, state: Value, ahead: Value, counts: Value) -> tuple[Value, ...]:
        state = trie.step(graph, state, ahead)
        ahead = shift_left(ahead, SEPARATOR)
        number = trie.number(graph, state)
        wanted = iteration >= least - 1
        if short:
            wanted = wanted | (begin & ahead.equals(SEPARATOR))
        found = (number >= 0) & wanted
        places = graph.concat(symbols.rows.unsqueeze(1), number.unsqueeze(1), axis=1).compress(found)
        ones = graph.full(places.size(0), 1.0)
        return graph.value(True), state, ahead, graph.op("ScatterND", counts, places, ones, reduction="add")

    none = graph.full(graph.concat(symbols.count.reshape(1), np.array([size])), 0.0)
    root = graph.full(symbols.codes.size(0), 0)
    _, _, counts = graph.loop(step, root, symbols.codes, none, most=most)
    return counts


def _weigh(graph: Graph, counts: Value, vectorizer: Any) -> Value:
    if vectorizer.binary:
        counts = (counts > graph.value(0.0)).cast(FLOAT)
    if not hasattr(vectorizer, "sublinear_tf"):
        return counts
    if vectorizer.sublinear_tf:
        some = counts > graph.value(0.0)
        logarithm = graph.op("Log", graph.op("Max", counts, 1.0)) + 1.0
        counts = graph.where(some, logarithm, 0.0)
    if vectorizer.use_idf:
        counts = counts * graph.constant(vectorizer.idf_.astype(np.float32))
    if vectorizer.norm is None:
        return counts
    operator = {"l1": "ReduceL1", "l2": "ReduceL2"}[vectorizer.norm]
    length = graph.op(operator, counts, graph.constant([1]), keepdims=1)
    return counts / graph.where(length > graph.value(0.0), length, 1.0)
