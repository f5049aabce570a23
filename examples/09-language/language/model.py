"""Character n-grams, weighted by how rare they are, and a linear classifier over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

Array = np.ndarray[Any, Any]
LONGEST = 3
EDGE = " "
"""Before and after a text: so that its first and last letters make n-grams of their own."""


@dataclass(frozen=True)
class Model:
    """All that the graph needs.

    Attributes:
        grams: Sequences of characters, in the order of the columns below.
        rarity: The factor of each, [grams].
        weights: [grams, languages].
        bias: [languages].
        languages: Their names.
    """

    grams: tuple[str, ...]
    rarity: Array
    weights: Array
    bias: Array
    languages: tuple[str, ...]


def cut_grams(text: str) -> list[str]:
    """Return all runs of one to three characters."""
    edged = f"{EDGE}{text}{EDGE}"
    return [
        edged[start : start + length]
        for length in range(1, LONGEST + 1)
        for start in range(len(edged) - length + 1)
    ]


def train(texts: Sequence[str], languages: Sequence[str], least_texts: int = 3) -> Model:
    """Return the model of these texts; n-grams of fewer than `least_texts` texts are left out."""
    vectorizer = TfidfVectorizer(analyzer=cut_grams, min_df=least_texts, dtype=np.float32)
    features = vectorizer.fit_transform(texts)
    classifier = LogisticRegression(C=30.0, max_iter=60, tol=1e-3).fit(features, list(languages))
    return Model(
        grams=tuple(vectorizer.get_feature_names_out().tolist()),
        rarity=vectorizer.idf_.astype(np.float32),
        weights=classifier.coef_.T.astype(np.float32),
        bias=classifier.intercept_.astype(np.float32),
        languages=tuple(classifier.classes_.tolist()),
    )


def predict(model: Model, texts: Sequence[str]) -> Array:
    """Return probabilities, [texts, languages], in plain NumPy: what the graph must answer."""
    place = {gram: number for number, gram in enumerate(model.grams)}
    counts = np.zeros((len(texts), len(place)), np.float32)
    for row, text in enumerate(texts):
        for gram in cut_grams(text):
            if gram in place:
                counts[row, place[gram]] += 1
    weighted = counts * model.rarity
    features = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-9)
    scores = features @ model.weights + model.bias
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
