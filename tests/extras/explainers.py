"""Explains the same answers by this project and by the packages `lime` and `shap`: prints both as JSON.

Run by a Python that has them and NumPy, with `pipeline/` on its path: `python explainers.py`.
"""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import lime.lime_base
import lime.lime_tabular
import lime.lime_text
import numpy as np
import shap
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from modelservice_pipeline.explain import lime as own_lime
from modelservice_pipeline.explain.explain import Method, Options
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.request import Question, explain_given, explain_tensors
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Tensors
from modelservice_pipeline.predict.rows import prepare_rows

Array = np.ndarray[Any, Any]

TEXT = "urgent you won a prize call now claim free"
FEATURES = 12
"""Of the rows: all coalitions can be asked."""


class Own:
    """Any function of rows as our predictor."""

    def __init__(self, port: Port, answer: Callable[[Array], Array]) -> None:
        self.inputs, self.outputs = (port,), (Port("p", "float64", (None, 2)),)
        self._answer = answer

    def predict(self, rows: Tensors) -> dict[str, Array]:
        (array,) = prepare_rows(rows, self.inputs).values()
        return {"p": self._answer(array)}


def train_texts() -> Any:
    """A classifier of words whose answer is not linear in them."""
    generator = np.random.default_rng(0)
    words = [*TEXT.split(), *["lunch", "meeting", "see", "tomorrow", "thanks", "dinner", "home"]]
    texts = [" ".join(generator.choice(words, 8)) for _ in range(600)]
    spam = [sum(word in text.split() for word in ("prize", "won", "free", "claim")) >= 2 for text in texts]
    model = make_pipeline(CountVectorizer(token_pattern=r"\w+"), LogisticRegression(C=5))
    return model.fit(texts, spam)


def train_rows() -> tuple[Any, Array]:
    data = load_breast_cancer()
    rows = data.data[:, :FEATURES]
    return RandomForestClassifier(20, random_state=0).fit(rows, data.target), rows


def weights(explanation: Explanation) -> list[float]:
    return [float(weight) for weight in explanation.weights]


def compare_texts() -> dict[str, Any]:
    model = train_texts()
    own = Own(Port("text", "object", (None,)), lambda texts: model.predict_proba(list(texts)))

    def explain(method: Method, **settings: Any) -> Explanation:
        return explain_given(own, TEXT, None, Question(Options(method, **settings), index=1))

    explainer = lime.lime_text.LimeTextExplainer(random_state=1)
    theirs = explainer.explain_instance(
        TEXT, lambda texts: model.predict_proba(texts), labels=(1,), num_features=50, num_samples=20_000
    )
    by_word = dict(theirs.as_list(label=1))
    found = explain("lime", features=50, samples=20_000)
    return {
        "lime": {"own": weights(found), "theirs": [by_word[word] for word in found.features]},
        "exact": {"own": weights(explain("exact")), "theirs": exact_of_texts(model, found.features)},
        "shap": {"own": weights(explain("shap")), "theirs": exact_of_texts(model, found.features)},
    }


def exact_of_texts(model: Any, words: tuple[str, ...]) -> list[float]:
    """Shapley values of words by shap, over rows that say which words a text has."""

    def answer(masks: Array) -> Array:
        texts = [
            re.sub(r"\w+", lambda match, mask=mask: match[0] if mask[words.index(match[0])] else "", TEXT)
            for mask in masks.astype(bool)
        ]
        return np.asarray(model.predict_proba(texts)[:, 1])

    everything, nothing = np.ones((1, len(words))), np.zeros((1, len(words)))
    explainer = shap.explainers.Exact(answer, shap.maskers.Independent(nothing))
    return [float(value) for value in explainer(everything).values[0]]


def compare_rows() -> dict[str, Any]:
    model, rows = train_rows()
    own = Own(Port("x", "float64", (None, FEATURES)), model.predict_proba)
    row, background = rows[:1], rows[50:60]

    def answer(table: Array) -> Array:
        return np.asarray(model.predict_proba(table)[:, 1])

    def explain(method: Method, usual: Array, **settings: Any) -> Explanation:
        question = Question(Options(method, **settings), index=1)
        return explain_tensors(own, {"x": row}, {"x": usual}, question)

    exact = shap.explainers.Exact(answer, shap.maskers.Independent(background))(row).values[0]
    kernel = shap.KernelExplainer(answer, background).shap_values(row, nsamples=500, l1_reg=0, silent=True)[0]
    return {
        "exact": {"own": weights(explain("exact", background)), "theirs": exact.tolist()},
        "shap": {"own": weights(explain("shap", background)), "theirs": exact.tolist()},
        "sampled": {"own": weights(explain("shap", background, samples=500)), "theirs": kernel.tolist()},
        "lime": lime_of_row(model, rows, row[0], explain("lime", rows, features=FEATURES, samples=20_000)),
    }


def lime_of_row(model: Any, rows: Array, row: Array, found: Explanation) -> dict[str, list[float]]:
    explainer = lime.lime_tabular.LimeTabularExplainer(rows, discretize_continuous=True, random_state=1)
    theirs = explainer.explain_instance(
        row, model.predict_proba, labels=(1,), num_features=FEATURES, num_samples=20_000
    )
    by_feature = dict(theirs.as_map()[1])
    return {"own": weights(found), "theirs": [by_feature[index] for index in range(FEATURES)]}


def compare_fits() -> dict[str, Any]:
    """The linear models of the same variants, whose distances both compute themselves."""
    generator = np.random.default_rng(2)
    masks = own_lime.sample_text_masks(generator, 500, 15)
    scores = np.tanh(masks @ generator.normal(size=15)) + generator.normal(size=500) / 10
    found = own_lime.fit_linear_model(masks, scores, own_lime.text_proximity(masks), 7)
    text = " ".join(f"w{number}" for number in range(15))
    explainer = lime.lime_text.LimeTextExplainer()
    indexed = lime.lime_text.IndexedString(text)
    assert indexed.num_words() == 15
    distances = 100 * (1 - np.sqrt(masks.sum(axis=1) / 15))
    intercept, theirs, fit, _ = explainer.base.explain_instance_with_data(
        masks.astype(float), scores[:, np.newaxis], distances, 0, 7, feature_selection="highest_weights"
    )
    by_feature = dict(theirs)
    return {
        "own": [*weights_of(found), found.intercept, found.fit],
        "theirs": [*(float(by_feature.get(index, 0)) for index in range(15)), float(intercept), float(fit)],
    }


def weights_of(model: own_lime.LinearModel) -> list[float]:
    return [float(weight) for weight in model.weights]


def main() -> None:
    json.dump({"texts": compare_texts(), "rows": compare_rows(), "fits": compare_fits()}, sys.stdout)


if __name__ == "__main__":
    main()
