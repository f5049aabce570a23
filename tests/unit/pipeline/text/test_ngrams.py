"""Vectors of n-grams: those of scikit-learn for every text."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.corpus import TEXTS
from modelservice_pipeline.text.graph import FLOAT, STRING, Graph
from modelservice_pipeline.text.ngrams import vectorize

NEW = (
    "hello  world hello",
    "A\tb \u00a0 c\u001cd",
    "\u038c\u03a3\u039f\u03a3 \u0391\u03a3'\u0391 \u03a3\u03a3 \u03a3",
    "unknown words entirely",
    "a",
    " x ",
    "ǅ İİ ß",
)


def _session(vectorizer: Any) -> onnxruntime.InferenceSession:
    graph = Graph("vectors")
    vectors = vectorize(graph, graph.input("text", STRING, ["N"]), vectorizer)
    graph.output("vectors", vectors, FLOAT, ["N", "F"])
    return onnxruntime.InferenceSession(graph.model().SerializeToString())


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(),
        TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True, strip_accents="unicode"),
        TfidfVectorizer(ngram_range=(2, 2), stop_words=["and", "text", "with"], token_pattern=r"(?u)\b\w+\b"),
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), norm="l1"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), lowercase=False, norm=None),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 5), use_idf=False, max_features=300),
        CountVectorizer(analyzer="char", binary=True),
        CountVectorizer(ngram_range=(1, 2), max_features=200),
    ],
    ids=str,
)
def test_vectors_are_those_of_scikit_learn(vectorizer: Any):
    vectorizer.fit([*TEXTS, *NEW])
    texts = [*TEXTS, *NEW]
    session = _session(vectorizer)
    expected = vectorizer.transform(texts).toarray()
    (got,) = session.run(None, {"text": np.array(texts, object)})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    alone = [session.run(None, {"text": np.array([text], object)})[0][0] for text in texts[:8]]
    np.testing.assert_array_equal(alone, got[:8])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tokenizer": str.split, "token_pattern": None}, "a tokenizer of its own is Python code"),
        ({"token_pattern": r"[a-z]+"}, r"token_pattern '\[a-z\]\+' is not supported"),
        ({"strip_accents": "ascii"}, "strip_accents='ascii' is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(options: dict[str, Any], sentence: str):
    vectorizer = CountVectorizer(**options).fit(["some words"])
    with pytest.raises(PipelineError, match=sentence):
        vectorize(Graph("x"), Graph("x").input("text", STRING, ["N"]), vectorizer)
