"""The example that names languages: graph and plain NumPy agree, catalogues are read as gettext does."""

import gettext
import io
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice_pipeline.model.session import OnnxModel

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "09-language"))

from language.data import Sentence, _read_catalogue, split
from language.export import build_graph
from language.model import predict, train

TEXTS = {
    "de": ["der Hund und die Katze", "ich möchte ein Bier", "das ist schön", "wo ist der Bahnhof"],
    "es": ["el perro y la gata", "quiero una cerveza", "¡qué bonito es!", "dónde está la estación"],
    "ja": ["犬と猫です", "ビールをください", "駅はどこですか", "これはきれいです"],
}


@pytest.fixture(scope="module")
def model():
    pairs = [(text, name) for name, texts in TEXTS.items() for text in texts]
    return train([text for text, _ in pairs], [name for _, name in pairs], least_texts=1)


@pytest.fixture(scope="module")
def graph(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("language") / "model.onnx"
    onnx.save(build_graph(model), path)
    return OnnxModel(path)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.text() | st.sampled_from(["", " ", "  ", "der", "犬 と", "\0", "a\0b"]), min_size=1, max_size=5
    )
)
def test_graph_answers_as_numpy_does(model, graph, texts):
    outputs = graph.run({"text": np.array(texts, object)})
    expected = predict(model, texts)
    assert np.allclose(outputs["probabilities"], expected, atol=1e-5)
    assert all(name in model.languages for name in outputs["language"])


def test_a_text_of_each_language_is_named(graph):
    texts = np.array(["der Bahnhof ist schön", "la estación y el perro", "猫はどこですか"], object)
    assert graph.run({"text": texts})["language"].tolist() == ["de", "es", "ja"]


def test_translations_of_a_message_stay_together():
    sentences = [
        Sentence(f"{language} {number}", language, f"message {number}")
        for number in range(300)
        for language in TEXTS
    ]
    learnt, held_out = split(sentences, 0.2)
    assert not {one.message for one in learnt} & {one.message for one in held_out}
    assert 0.1 < len(held_out) / len(sentences) < 0.3


def test_catalogue_is_read_as_gettext_does():
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", "Hello": "Grüße", "one\0many": "eins\0viele"}
    heads, texts = [], b""
    start = 28 + 16 * len(messages)
    for column in (list(messages), list(messages.values())):
        for text in column:
            heads.append((len(text.encode()), start + len(texts)))
            texts += text.encode() + b"\0"
    table = b"".join(struct.pack("<2I", *head) for head in heads)
    content = (
        struct.pack("<7I", 0x950412DE, 0, len(messages), 28, 28 + 8 * len(messages), 0, 0) + table + texts
    )
    assert gettext.GNUTranslations(io.BytesIO(content)).gettext("Hello") == "Grüße"
    assert dict(_read_catalogue(content)) == {"Hello": "Grüße", "one\0many": "eins\0viele"}
