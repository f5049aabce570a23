"""Texts of tokens: as the library decodes them, broken characters too."""

import json
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.pipeline.text.small_tokenizers import bert, byte_level, train
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from modelservice_pipeline.text.corpus import TEXTS
from modelservice_pipeline.text.decoders import read_spelling
from modelservice_pipeline.text.join import build_detokenizer


def _with(tokenizer: Tokenizer, decoder: Any) -> Tokenizer:
    if decoder is not None:
        tokenizer.decoder = decoder
    return tokenizer


def _llama() -> Tokenizer:
    config = json.loads(train(Tokenizer(models.BPE(unk_token="<unk>"))).to_str())
    vocabulary = config["model"]["vocab"]
    for text in ["▁", "▁▁a", *(f"<0x{byte:02X}>" for byte in range(256))]:
        vocabulary.setdefault(text, len(vocabulary))
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    return _with(Tokenizer.from_str(json.dumps(config)), decoders.Sequence(parts))


def _metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _with(train(tokenizer), decoders.Metaspace())


KINDS = {
    "byte level": lambda: _with(byte_level(pre_tokenizers.ByteLevel()), decoders.ByteLevel()),
    "llama": _llama,
    "metaspace": _metaspace,
    "word piece": lambda: _with(bert(), decoders.WordPiece()),
    "none": bert,
}


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest) -> tuple[Tokenizer, onnxruntime.InferenceSession]:
    library = KINDS[request.param]()
    model = build_detokenizer(read_spelling(json.loads(library.to_str())))
    return library, onnxruntime.InferenceSession(model.SerializeToString())


def _texts(session: onnxruntime.InferenceSession, rows: list[list[int]]) -> list[str]:
    width = max(map(len, rows))
    ids = np.array([[*row, *[-1] * (width - len(row))] for row in rows], np.int64).reshape(len(rows), width)
    return session.run(None, {"ids": ids})[0].tolist()


def test_texts_of_tokens_are_those_of_the_library(both: tuple[Tokenizer, onnxruntime.InferenceSession]):
    library, session = both
    rows = [library.encode(text).ids for text in TEXTS]
    assert _texts(session, rows) == [library.decode(row) for row in rows]
    assert _texts(session, [[], []]) == ["", ""]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_tokens_have_the_text_of_the_library(
    both: tuple[Tokenizer, onnxruntime.InferenceSession], data: st.DataObject
):
    library, session = both
    tokens = st.integers(0, library.get_vocab_size() - 1)
    rows = data.draw(st.lists(st.lists(tokens, max_size=9), min_size=1, max_size=8))
    assert _texts(session, rows) == [library.decode(row) for row in rows]
