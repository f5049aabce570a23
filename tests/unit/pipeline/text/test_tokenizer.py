"""Tokenizers as graphs: for every text the tokens of the library, alone as in a batch."""

import functools
import json
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.pipeline.text.small_tokenizers import SPECIALS, bert, byte_level, train
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from modelservice_pipeline.text.corpus import TEXTS
from modelservice_pipeline.text.graph import INT64, STRING, Graph
from modelservice_pipeline.text.tokenizer import read_tokenizer

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _gpt2() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))


def _roberta() -> Tokenizer:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 3), ("<s>", 2))
    return tokenizer


def _split(pattern: str, behavior: str = "isolated", invert: bool = False) -> Tokenizer:
    return byte_level(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior, invert),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )


def _llama() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    train(tokenizer, initial_alphabet=list("abcdefghijklmnopqrstuvwxyz▁"), limit_alphabet=60)
    config = json.loads(tokenizer.to_str())
    for byte in range(256):
        config["model"]["vocab"][f"<0x{byte:02X}>"] = len(config["model"]["vocab"])
    config["post_processor"] = json.loads(
        processors.TemplateProcessing("<s> $A", None, [("<s>", 2)]).__getstate__()
    )
    return Tokenizer.from_str(json.dumps(config))


def _metaspace(scheme: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return train(tokenizer, limit_alphabet=80)


def _clip() -> Tokenizer:
    tokenizer = Tokenizer(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="")
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("  ", " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True)]
    )
    return train(tokenizer, limit_alphabet=80, end_of_word_suffix="</w>")


def _words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return train(tokenizer)


def _nfc() -> Tokenizer:
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC())


def _falcon() -> Tokenizer:
    parts = [
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
    ]
    return byte_level(pre_tokenizers.Sequence(parts))


def _added(**flags: bool) -> Tokenizer:
    """Tokens written out in texts: whitespace, one within another, ones that take what is beside them."""
    tokenizer = _llama() if flags.get("normalized") else _gpt2()
    texts = ["<x>", "<x><y>", "   ", "word", "MASK", "é", "\t\t", "n"]
    tokenizer.add_tokens([AddedToken(text, **flags) for text in texts])
    return tokenizer


KINDS = {
    "falcon": _falcon,
    "bloom": lambda: _split(r" ?[^(\s|[.,!?…。，、।۔،])]+"),  # noqa: RUF001
    "kimi": lambda: _split(r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+|\p{N}{1,3}|\s+(?!\S)|\s+"),
    "added": _added,
    "added, normalized": lambda: _added(normalized=True),
    "added, stripping left": lambda: _added(lstrip=True, normalized=False),
    "added, stripping right": lambda: _added(rstrip=True, normalized=False),
    "added, single words": lambda: _added(single_word=True, normalized=False),
    "nfc": _nfc,
    "gpt2": _gpt2,
    "roberta": _roberta,
    "cl100k": lambda: _split(CL100K),
    "cl100k inverted": lambda: _split(CL100K, "removed", invert=True),
    "o200k": lambda: _split(O200K),
    "merged with previous": lambda: _split(r"\s|-", "merged_with_previous"),
    "merged with next": lambda: _split(r"\s|-", "merged_with_next"),
    "contiguous": lambda: _split(r"[\p{N},.]", "contiguous"),
    "llama": _llama,
    "metaspace first": lambda: _metaspace("first"),
    "metaspace always": lambda: _metaspace("always"),
    "bert uncased": lambda: bert(lowercase=True),
    "bert cased": lambda: bert(lowercase=False, strip_accents=False),
    "clip": _clip,
    "words": _words,
}


@functools.cache
def _both(kind: str) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
    library = KINDS[kind]()
    return library, _session(json.loads(library.to_str()))


def _session(config: dict[str, Any]) -> onnxruntime.InferenceSession:
    graph = Graph("tokenize")
    encoded = read_tokenizer(config).encode(graph, graph.input("text", STRING, ["N"]))
    graph.output("ids", encoded.ids, INT64, ["N", "S"])
    graph.output("mask", encoded.mask, INT64, ["N", "S"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.model().SerializeToString(), options)


def _tokens(session: onnxruntime.InferenceSession, texts: list[str]) -> list[list[int]]:
    ids, mask = session.run(None, {"text": np.array(texts, object)})
    return [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_the_library_alone_as_in_a_batch(kind: str):
    library, session = _both(kind)
    expected = [library.encode(text).ids for text in TEXTS]
    batch = _tokens(session, list(TEXTS))
    wrong = [text for text, got, want in zip(TEXTS, batch, expected, strict=True) if got != want]
    assert not wrong
    assert [_tokens(session, [text])[0] for text in TEXTS] == expected


_letters = st.text(
    st.one_of(st.sampled_from("ab \n\t'sS1.é中▁<>[]-\u0301\u200d"), st.characters(exclude_categories=["Cs"])),
    max_size=25,
)
_pieces = st.lists(
    st.one_of(_letters, st.sampled_from([*SPECIALS, " ", "'ll", "the", "<x>", "<y>", "word", "MASK"])),
    max_size=5,
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(_pieces, min_size=1, max_size=6))
def test_any_texts_have_the_tokens_of_the_library(kind: str, texts: list[str]):
    library, session = _both(kind)
    assert _tokens(session, texts) == [library.encode(text).ids for text in texts]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [{}, {"length": 20}, {"pad_to_multiple_of": 8}])
def test_padding_and_truncation_are_those_of_the_library(side: str, padding: dict[str, int]):
    library = bert()
    library.enable_truncation(9, direction=side)
    library.enable_padding(direction=side, pad_id=7, pad_token="<pad>", **padding)
    session = _session(json.loads(library.to_str()))
    texts = ["a", "", "Hello, world! Hello, world!", "one two three"]
    ids, mask = session.run(None, {"text": np.array(texts, object)})
    encodings = library.encode_batch(texts)
    assert ids.tolist() == [encoding.ids for encoding in encodings]
    assert mask.tolist() == [encoding.attention_mask for encoding in encodings]
