"""From an input to its explanation: texts and rows, each by three methods."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.explain.columns import Columns
from modelservice_pipeline.explain.explanation import Explanation
from modelservice_pipeline.explain.lime import (
    fit_linear_model,
    sample_text_masks,
    tabular_proximity,
    text_proximity,
)
from modelservice_pipeline.explain.shapley import (
    MOST_EXACT_FEATURES,
    Attribution,
    Game,
    attribute_by_kernel,
    attribute_exactly,
    chunks,
)
from modelservice_pipeline.explain.subject import Numbers, Subject
from modelservice_pipeline.explain.words import Masks, Words
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Array

Method = Literal["lime", "shap", "exact"]
METHODS: tuple[Method, ...] = get_args(Method)
_ROWS_AT_ONCE = 16_384
"""How many rows are made before they are asked: bounded memory, many requests."""
_LIME_SAMPLES = 1000
_ENUMERATED_FEATURES = 12


@dataclass(frozen=True)
class Options:
    """How to explain.

    Attributes:
        method: Which method.
        samples: How many variants of the input; None: 1,000 for LIME; for KernelSHAP all of up to 12
            features, else 2,048 and two for each feature.
        features: How many features may have a weight in LIME.
        seed: Of the random choices: the same seed gives the same numbers.
        most_cells: The largest table of variants and features that is made; each takes about 40 bytes.
    """

    method: Method
    samples: int | None = None
    features: int = 10
    seed: int = 0
    most_cells: int = 50_000_000

    def check(self, samples: int, features: int) -> None:
        """Raise PipelineError where the table of variants would be too large."""
        if samples * features > self.most_cells:
            raise PipelineError(
                f"{samples} samples of {features} features are too many: use {self.most_cells // features} "
                "samples at most, or a smaller input"
            )


def explain_text(subject: Subject, port: Port, words: Words, options: Options) -> Explanation:
    """Explain an answer to a text by its words. Raises PipelineError."""

    def game(masks: Masks) -> Numbers:
        return _ask(subject, (_as_rows(words.variants(part), port) for part in chunks(masks, _ROWS_AT_ONCE)))

    count = len(words.features)
    names, values = words.features, ("",) * count
    if options.method != "lime":
        return _explain_by_shapley(subject, game, np.ones(count, dtype=bool), (names, values), options)
    samples = options.samples or _LIME_SAMPLES
    options.check(samples, count)
    masks = sample_text_masks(np.random.default_rng(options.seed), samples, count)
    return _explain_by_lime(subject, masks, game(masks), text_proximity(masks), (names, values), options)


def explain_row(subject: Subject, columns: Columns, options: Options) -> Explanation:
    """Explain an answer to a row by its columns, against a background. Raises PipelineError."""
    named = (columns.features, columns.values)
    if options.method == "lime":
        samples = options.samples or _LIME_SAMPLES
        options.check(samples, len(columns.features))
        rows, alike = columns.drawn(np.random.default_rng(options.seed), samples)
        scores = _ask(subject, [rows])
        return _explain_by_lime(subject, alike, scores, tabular_proximity(alike), named, options)
    background = columns.background_rows

    def game(masks: Masks) -> Numbers:
        parts = chunks(masks, max(1, _ROWS_AT_ONCE // background))
        scores = _ask(subject, (columns.exchanged(part) for part in parts))
        means: Numbers = scores.reshape(-1, background).mean(axis=1)
        return means

    return _explain_by_shapley(subject, game, columns.differing(), named, options)


def _explain_by_lime(
    subject: Subject,
    masks: Masks,
    scores: Numbers,
    proximity: Numbers,
    named: tuple[tuple[str, ...], tuple[str, ...]],
    options: Options,
) -> Explanation:
    model = fit_linear_model(masks, scores, proximity, options.features)
    return Explanation(
        "lime",
        subject.target,
        *named,
        model.weights,
        model.intercept,
        float(scores[0]),
        len(masks),
        subject.rows,
        options.seed,
        model.fit,
    )


def _explain_by_shapley(
    subject: Subject,
    game: Game,
    differing: np.ndarray[tuple[int], np.dtype[np.bool_]],
    named: tuple[tuple[str, ...], tuple[str, ...]],
    options: Options,
) -> Explanation:
    """Attribute to the features that differ from the background; the others get nothing."""

    def smaller(masks: Masks) -> Numbers:
        whole = np.ones((len(masks), len(differing)), dtype=bool)
        whole[:, differing] = masks
        return game(whole)

    found = _attribute(smaller, int(differing.sum()), options)
    weights = np.zeros(len(differing))
    weights[differing] = found.weights
    return Explanation(
        options.method,
        subject.target,
        *named,
        weights,
        found.base,
        found.prediction,
        found.samples,
        subject.rows,
        options.seed,
    )


def _attribute(game: Game, features: int, options: Options) -> Attribution:
    if features == 0:
        (same,) = game(np.zeros((1, 0), dtype=bool))
        return Attribution(np.zeros(0), float(same), float(same), 1)
    if options.method == "exact":
        if features > MOST_EXACT_FEATURES:
            raise PipelineError(
                f"the input has {features} features, and the exact method takes {MOST_EXACT_FEATURES} "
                "at most: use the method shap"
            )
        return attribute_exactly(game, features)
    usual = 2**features if features <= _ENUMERATED_FEATURES else 2 * features + 2048
    samples = options.samples or usual
    options.check(samples, features)
    return attribute_by_kernel(game, features, samples, np.random.default_rng(options.seed))


def _ask(subject: Subject, parts: Iterable[dict[str, Array]]) -> Numbers:
    return np.concatenate([subject(part) for part in parts])


def _as_rows(texts: list[str], port: Port) -> dict[str, Array]:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return {port.name: array}
