"""LIME: a linear model of what a model answers near one input.

Source: Ribeiro, Singh, Guestrin, "Why Should I Trust You?" (2016). Distances, kernel widths and the two ridge
regressions are those of the authors' package `lime`, so that both find the same of the same variants.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.explain.subject import Numbers
from modelservice_pipeline.explain.words import Masks

_TEXT_KERNEL_WIDTH = 25.0
_TABULAR_KERNEL_WIDTH = 0.75
"""Times the square root of the number of features."""
_CHOOSING_PENALTY = 0.01
_FITTING_PENALTY = 1.0

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@dataclass(frozen=True)
class LinearModel:
    """Coefficients (0 for features left out), intercept, and the weighted R2 over the variants."""

    weights: Numbers
    intercept: float
    fit: float


def sample_text_masks(generator: np.random.Generator, samples: int, features: int) -> Masks:
    """Return the whole text, then texts with a random number of words taken out at random, at least one."""
    masks = np.ones((samples, features), dtype=bool)
    counts = generator.integers(1, features + 1, size=samples - 1)
    ranks = generator.random((samples - 1, features)).argsort(axis=1).argsort(axis=1)
    masks[1:] = ranks >= counts[:, np.newaxis]
    return masks


def text_proximity(masks: Masks) -> Numbers:
    """Return how much each variant counts: by the cosine distance of its words from all words, in percent."""
    kept = masks.sum(axis=1)
    distance = 100 * (1 - np.sqrt(kept / masks.shape[1]))
    return _kernel(distance, _TEXT_KERNEL_WIDTH)


def tabular_proximity(alike: Masks) -> Numbers:
    """Return how much each variant counts: by how many features are not like the row's."""
    features = alike.shape[1]
    distance = np.sqrt((~alike).sum(axis=1).astype(np.float64))
    return _kernel(distance, _TABULAR_KERNEL_WIDTH * np.sqrt(features))


def fit_linear_model(masks: Masks, scores: Numbers, proximity: Numbers, most: int) -> LinearModel:
    """Fit a ridge regression to the `most` features that count most in a first one.

    Args:
        masks: Which features each variant has, [variants, features]; the first is the input itself.
        scores: What the model answers to each.
        proximity: How much each counts.
        most: How many features may have a weight.
    """
    table = masks.astype(np.float64)
    first, _ = _ridge(table, scores, proximity, _CHOOSING_PENALTY)
    chosen = np.argsort(-np.abs(first), kind="stable")[:most]
    weights = np.zeros(masks.shape[1])
    weights[chosen], intercept = _ridge(table[:, chosen], scores, proximity, _FITTING_PENALTY)
    return LinearModel(weights, intercept, _fit(table @ weights + intercept, scores, proximity))


def _kernel(distance: Any, width: float) -> Numbers:
    made: Numbers = np.sqrt(np.exp(-(distance**2) / width**2))
    return made


def _ridge(table: Matrix, scores: Numbers, proximity: Numbers, penalty: float) -> tuple[Numbers, float]:
    """Minimise the weighted squares plus the penalty on the coefficients, not on the intercept."""
    total = proximity.sum()
    middle, level = proximity @ table / total, float(proximity @ scores / total)
    centred = table - middle
    weighted = centred * proximity[:, np.newaxis]
    rows, features = table.shape
    coefficients: Numbers
    if features > rows:  # the same by the rows' products: their square instead of the features'
        roots = np.sqrt(proximity)
        scaled = centred * roots[:, np.newaxis]
        dual = np.linalg.solve(scaled @ scaled.T + penalty * np.eye(rows), roots * (scores - level))
        coefficients = scaled.T @ dual
    else:
        system = weighted.T @ centred + penalty * np.eye(features)
        coefficients = np.linalg.solve(system, weighted.T @ (scores - level))
    return coefficients, level - float(middle @ coefficients)


def _fit(fitted: Numbers, scores: Numbers, proximity: Numbers) -> float:
    level = proximity @ scores / proximity.sum()
    spread = float(proximity @ (scores - level) ** 2)
    missed = float(proximity @ (scores - fitted) ** 2)
    if spread == 0:  # every variant has the same answer: nothing is left to fit
        return 1.0
    return 1 - missed / spread
