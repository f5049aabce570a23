"""Unicode's normal forms in a graph: as the library's, for every character and for heaps of marks."""

import random

import numpy as np
import onnxruntime
import pytest
from tokenizers import normalizers

from modelservice_pipeline.text.characters import SEPARATOR, read_characters
from modelservice_pipeline.text.forms import normal_form
from modelservice_pipeline.text.graph import INT64, STRING, Graph

# Letters with and without marks, marks of several classes, jamo, signs that join with a sign before them.
LETTERS = (
    "aeoAEsqÅåǖǘệ\u1e9b\u017f\u0301\u0300\u0308\u0323\u0307\u0327\u031b\u0345\u0344\u0338\u05b4\u05bc\u3099"
    "かハ\u1100\u1161\u11a8\u1112\u1175\u11c2가각"
    "\u0915\u093c\u0958\u09c7\u09be\u09d7\u212b\u2126ﬁ①ﷺ \n\u0f71\u0f72\u0f73"
)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_texts_are_normalized_as_by_the_library(form: str):
    graph = Graph("normalize")
    characters = normal_form(graph, read_characters(graph, graph.input("text", STRING, ["N"])), form)
    graph.output("codes", characters.codes, INT64, [None])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    draw = random.Random(form)
    texts = ["".join(draw.choices(LETTERS, k=draw.randint(0, 9))) for _ in range(3000)]
    texts += [
        chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000 and code % 7 == draw.randint(0, 6)
    ]
    (codes,) = session.run(None, {"text": np.array(texts, object)})
    library = getattr(normalizers, form)()
    got = "".join(map(chr, np.where(codes == SEPARATOR, 0x10FFFF, codes))).split("\U0010ffff")[:-1]
    wrong = [(text, one) for text, one in zip(texts, got, strict=True) if one != library.normalize_str(text)]
    assert not wrong
