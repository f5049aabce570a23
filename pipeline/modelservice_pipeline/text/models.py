"""Models: they make tokens of pieces. Byte pair encoding, WordPiece and whole words.

Read from what a tokenizer.json says; a kind or an option that is not supported is refused by its name.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.characters import ATOM, CODES, Characters, shift_left, shift_right, utf8_bytes
from modelservice_pipeline.text.graph import INT64, Graph, Value
from modelservice_pipeline.text.merges import Merge, Symbols, merge_pairs
from modelservice_pipeline.text.spans import Trie, begins, first_after, last_before, reached, separate
from modelservice_pipeline.text.unicode import look_up

Model: TypeAlias = Callable[[Graph, Characters], Symbols]
"""Turns the pieces of a batch into tokens."""

_PAIR = 1 << 21  # more than there are code points


def read_model(config: dict[str, Any]) -> Model:
    """Return what makes tokens. Raises PipelineError for what is not supported."""
    kind = config.get("type") or ("BPE" if "merges" in config else "an unnamed model")
    if kind not in _KINDS:
        raise PipelineError(f"the model {kind} is not supported; BPE, WordPiece and WordLevel are")
    return _KINDS[kind](config)


def _codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def _entries(numbers: Iterable[tuple[str, int]]) -> np.ndarray[Any, Any]:
    """Return the numbers of texts that are one character, -1 for all other characters; [CODES + 1]."""
    entries = np.full(CODES + 1, -1)
    for text, number in numbers:
        if len(text) == 1:
            entries[ord(text)] = number
    return entries


def _read_bpe(config: dict[str, Any]) -> Model:
    return _Bpe(config)


class _Bpe:
    """Byte pair encoding as `tokenizers` does it."""

    def __init__(self, config: dict[str, Any]) -> None:
        if config.get("dropout"):
            raise PipelineError("BPE with dropout is random; set dropout to null")
        self.vocabulary: dict[str, int] = config["vocab"]
        self.prefix = config.get("continuing_subword_prefix") or ""
        self.suffix = config.get("end_of_word_suffix") or ""
        self.unknown = self._id_of_unknown(config.get("unk_token"))
        self.fuse = bool(config.get("fuse_unk"))
        self.bytes = self._byte_tokens() if config.get("byte_fallback") else None
        self.pairs = [
            tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in config["merges"]
        ]
        self.merges: list[Merge] = [
            (self.vocabulary[left], self.vocabulary[right], self.vocabulary[left + right[len(self.prefix) :]])
            for left, right in self.pairs
        ]
        self.whole = _whole_words(config) if config.get("ignore_merges") else {}

    def _id_of_unknown(self, token: str | None) -> int:
        if token is None:
            return -1
        if token not in self.vocabulary:
            raise PipelineError(f"the unknown token {token!r} is not in the vocabulary")
        return self.vocabulary[token]

    def _byte_tokens(self) -> np.ndarray[Any, Any] | None:
        names = [f"<0x{byte:02X}>" for byte in range(256)]
        missing = [name for name in names if name not in self.vocabulary]
        if 0 < len(missing) < len(names):
            raise PipelineError(f"the vocabulary has some of the tokens of bytes, but not {missing[0]}")
        return None if missing else np.array([self.vocabulary[name] for name in names] + [-2])

    def __call__(self, graph: Graph, characters: Characters) -> Symbols:
        if self.fuse and self.bytes is None:
            characters = self._fuse_unknown(graph, characters)
        if not self.prefix and not self.suffix:
            characters = self._cut_where_nothing_joins(graph, characters)
        whole = self._find_whole(graph, characters) if self.whole else None
        ids, rows = self._symbols(graph, characters, whole)
        symbols = Symbols(ids, rows, characters.count)
        return merge_pairs(graph, symbols, self.merges)

    def _is_unknown(self, graph: Graph, codes: Value) -> Value:
        return look_up(graph, codes, _entries(self.vocabulary.items())).equals(-1) & (codes < CODES)

    def _fuse_unknown(self, graph: Graph, characters: Characters) -> Characters:
        unknown = self._is_unknown(graph, characters.codes)
        again = shift_right(unknown.cast(INT64), 0).equals(1)
        return characters.keep(~(unknown & again))

    def _cut_where_nothing_joins(self, graph: Graph, characters: Characters) -> Characters:
        """Cut between characters that no merge has side by side: small pieces are merged in few rounds."""
        parts = {part for pair in self.pairs for part in pair}
        if self.whole or parts & {f"<0x{byte:02X}>" for byte in range(256)}:
            return characters
        sides = {(ord(left[-1]), ord(right[0])) for left, right in self.pairs}
        keys = np.array([left * _PAIR + right for left, right in sides] or [-1])
        codes = characters.codes
        before = shift_right(codes, CODES)
        pair = graph.where((codes < CODES) & (before < CODES), before * _PAIR + codes, -1)
        joins = graph.lookup(pair, (keys, np.ones(len(keys), np.int64)), 0)
        return separate(graph, characters, joins.equals(0))

    def _find_whole(self, graph: Graph, characters: Characters) -> Value:
        """Return, at the beginning of pieces that are tokens which no merges make, these; else -1."""
        codes = characters.codes
        roots = graph.where(begins(codes), 0, -1)
        end, number = Trie({_codes(text): number for text, number in self.whole.items()}).longest(
            graph, codes, roots
        )
        stop = first_after(codes >= CODES)
        return graph.where(end.equals(stop), number, -1)

    def _symbols(self, graph: Graph, characters: Characters, whole: Value | None) -> tuple[Value, Value]:
        """Return the first symbols of all pieces: one or, for bytes, up to four for each character.

        Characters that make no symbol are marked by -2 meanwhile, separators by -1.
        """
        codes, rows = characters.codes, characters.rows
        ids = self._single(graph, codes)
        missing = (ids < 0) & (codes < CODES)
        ids = graph.where(missing, self.unknown if self.unknown >= 0 else -2, ids)
        ids = graph.where(codes >= ATOM, codes - ATOM, ids)
        if whole is not None:
            inside = (whole.gather(last_before(begins(codes))) >= 0) & (codes < CODES)
            ids = graph.where(whole >= 0, whole, graph.where(inside, -2, ids))
            missing = missing & ~inside
        if self.bytes is not None:
            four = graph.constant(self.bytes).gather(utf8_bytes(graph, graph.where(missing, codes, 0)))
            alone = graph.where(graph.constant(np.array([[True, False, False, False]])), ids.unsqueeze(1), -2)
            matrix = graph.where(missing.unsqueeze(1), four, alone)
            rows = graph.op("Expand", rows.unsqueeze(1), matrix.shape()).reshape(-1)
            ids = matrix.reshape(-1)
        keep = ~ids.equals(-2)
        return ids.compress(keep), rows.compress(keep)

    def _single(self, graph: Graph, codes: Value) -> Value:
        if not self.prefix and not self.suffix:
            return look_up(graph, codes, _entries(self.vocabulary.items()))
        first = begins(codes)
        last = shift_left(codes, CODES) >= CODES
        found = [
            look_up(graph, codes, self._entries_between(before, after))
            for before in ("", self.prefix)
            for after in ("", self.suffix)
        ]
        begun = graph.where(last, found[1], found[0])
        going_on = graph.where(last, found[3], found[2])
        return graph.where(first, begun, going_on)

    def _entries_between(self, before: str, after: str) -> np.ndarray[Any, Any]:
        return _entries(
            (text[len(before) : len(text) - len(after)], number)
            for text, number in self.vocabulary.items()
            if text.startswith(before) and text.endswith(after)
        )


def _whole_words(config: dict[str, Any]) -> dict[str, int]:
    """Return the tokens that merges do not make of their own letters."""
    plain = Tokenizer.from_str(json.dumps({"model": {**config, "ignore_merges": False}}))
    words = list(config["vocab"])
    return {
        word: config["vocab"][word]
        for word in words
        if word and [token.id for token in plain.model.tokenize(word)] != [config["vocab"][word]]
    }


def _read_word_piece(config: dict[str, Any]) -> Model:
    vocabulary: dict[str, int] = config["vocab"]
    prefix = config.get("continuing_subword_prefix", "##")
    unknown = vocabulary.get(config.get("unk_token", "[UNK]"))
    if unknown is None:
        raise PipelineError(f"the unknown token {config.get('unk_token')!r} is not in the vocabulary")
    words = {_codes(text): number for text, number in vocabulary.items() if text}
    more = {
        _codes(text[len(prefix) :]): number
        for text, number in vocabulary.items()
        if text.startswith(prefix) and text != prefix
    }
    return _Pieces(Trie(words, more), unknown, config.get("max_input_chars_per_word", 100))


def _read_word_level(config: dict[str, Any]) -> Model:
    vocabulary: dict[str, int] = config["vocab"]
    unknown = vocabulary.get(config.get("unk_token", "<unk>"))
    if unknown is None:
        raise PipelineError(f"the unknown token {config.get('unk_token')!r} is not in the vocabulary")
    return _Pieces(
        Trie({_codes(text): number for text, number in vocabulary.items() if text}), unknown, 1 << 62
    )


class _Pieces:
    """The longest piece of the vocabulary first, then the longest one that goes on with it, and so on.

    Without pieces that go on it is the whole word or nothing. A word not made up of pieces is unknown.
    """

    def __init__(self, trie: Trie, unknown: int, most_characters: int) -> None:
        self.trie = trie
        self.unknown = unknown
        self.most_characters = most_characters

    def __call__(self, graph: Graph, characters: Characters) -> Symbols:
        codes = characters.codes
        here = graph.range(codes.size(0))
        stops = codes >= CODES
        begin = begins(codes)
        real = codes < CODES
        roots = graph.where(real, graph.where(begin, 0, 1), -1)
        end, number = self.trie.longest(graph, codes, roots)
        jumps = graph.where(end >= 0, end, here)
        heads = reached(graph, jumps, begin) & real
        stuck = heads & (number < 0)
        start = last_before(begin)
        length = first_after(stops) - start
        bad = graph.op(
            "ScatterElements", graph.full(codes.size(0), 0), start, stuck.cast(INT64), reduction="max"
        )
        bad_word = bad.gather(start).equals(1) | (length > self.most_characters)
        kept = ((bad_word & begin) | (~bad_word & heads)) & real
        ids = graph.where(bad_word, self.unknown, number)
        ids = graph.where(codes >= ATOM, codes - ATOM, graph.where(real, ids, -1))
        symbols = Symbols(ids, characters.rows, characters.count)
        return symbols.keep(kept | stops)


_KINDS: dict[str, Callable[[dict[str, Any]], Model]] = {
    "BPE": _read_bpe,
    "WordLevel": _read_word_level,
    "WordPiece": _read_word_piece,
}
