"""Metrics of numbers."""

import numpy as np

from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.classification import Array, Scorer
from modelservice_pipeline.evaluate.sums import divide


def score_mae(labels: Array, answers: Answers) -> Scorer:
    """Score the mean absolute error, in the unit of the labels."""
    errors = _mean_over_answers(np.abs(_errors(labels, answers)))
    return lambda weights: divide(weights @ errors, weights.sum(axis=1))


def score_rmse(labels: Array, answers: Answers) -> Scorer:
    """Score the root of the mean squared error, in the unit of the labels; of several answers their mean."""
    squares = _as_columns(_errors(labels, answers) ** 2)
    return lambda weights: np.sqrt(divide(weights @ squares, weights.sum(axis=1, keepdims=True))).mean(axis=1)


def score_r2(labels: Array, answers: Answers) -> Scorer:
    """Score the share of the labels' variance that is explained; NaN where they have none."""
    squares = _as_columns(_errors(labels, answers) ** 2)
    values = _as_columns(labels.astype(np.float64))
    values = values - values.mean(axis=0)  # against cancellation

    def score(weights: Array) -> Array:
        total = weights.sum(axis=1, keepdims=True)
        variance = weights @ values**2 - divide((weights @ values) ** 2, total)
        variance = np.where(variance > 1e-12 * (weights @ values**2), variance, 0.0)
        figures: Array = (1 - divide(weights @ squares, variance)).mean(axis=1)
        return figures

    return score


def _errors(labels: Array, answers: Answers) -> Array:
    return answers.predicted.astype(np.float64) - labels.astype(np.float64)


def _as_columns(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _mean_over_answers(values: Array) -> Array:
    means: Array = _as_columns(values).mean(axis=1)
    return means
