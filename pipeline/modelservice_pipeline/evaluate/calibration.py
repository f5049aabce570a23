"""Whether probabilities mean what they say."""

from dataclasses import dataclass

import numpy as np

from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.classification import Array, Scorer
from modelservice_pipeline.evaluate.sums import divide, encode, sum_by_group

_BINS = 15
"""As in Guo et al., "On Calibration of Modern Neural Networks" (2017)."""


@dataclass(frozen=True)
class Reliability:
    """How sure answers were and how often they were right, per bin of confidence; each [bins].

    Attributes:
        counts: Rows in the bin.
        confidences: The mean probability of the answer; NaN in an empty bin.
        accuracies: The share of right answers.
    """

    counts: Array
    confidences: Array
    accuracies: Array


def score_brier(labels: Array, answers: Answers) -> Scorer:
    """Score the mean squared distance to the truth: of two classes that of one of them, of more the sum."""
    hot, probabilities = _one_hot(labels, answers)
    if probabilities is None:
        return _undefined
    errors = ((probabilities - hot) ** 2).sum(axis=1)
    return _mean_of(errors / 2 if hot.shape[1] == 2 else errors)


def score_log_loss(labels: Array, answers: Answers) -> Scorer:
    """Score the mean of -log of the probability of the truth; 0 counts as the epsilon of float64."""
    hot, probabilities = _one_hot(labels, answers)
    if probabilities is None:
        return _undefined
    tiny = np.finfo(np.float64).eps
    return _mean_of(-np.log(np.clip((probabilities * hot).sum(axis=1), tiny, 1 - tiny)))


def score_ece(labels: Array, answers: Answers) -> Scorer:
    """Score the expected calibration error: the mean gap of confidence and accuracy over 15 equal bins."""
    if answers.probabilities is None:
        return _undefined
    bins, confidences, right = _bin(labels, answers)

    def score(weights: Array) -> Array:
        gaps = np.abs(sum_by_group(weights * (right - confidences), bins, _BINS))
        return divide(gaps.sum(axis=1), weights.sum(axis=1))

    return score


def compute_reliability(labels: Array, answers: Answers) -> Reliability:
    """Return the points of a reliability diagram; `answers` have probabilities."""
    bins, confidences, right = _bin(labels, answers)
    counts, sure, hits = (
        sum_by_group(values[np.newaxis], bins, _BINS)[0]
        for values in (np.ones(len(bins)), confidences, right)
    )
    return Reliability(counts.astype(np.int64), divide(sure, counts), divide(hits, counts))


def _bin(labels: Array, answers: Answers) -> tuple[Array, Array, Array]:
    assert answers.probabilities is not None
    assert answers.classes is not None
    best = answers.probabilities.argmax(axis=1)
    confidences = answers.probabilities.max(axis=1).astype(np.float64)
    right = (encode(labels, answers.classes.tolist()) == best).astype(np.float64)
    bins = np.clip(np.ceil(confidences * _BINS).astype(np.int64) - 1, 0, _BINS - 1)
    return bins, confidences, right


def _one_hot(labels: Array, answers: Answers) -> tuple[Array, Array | None]:
    """Return the truth as probabilities; a class that the model does not know is zero everywhere."""
    if answers.probabilities is None or answers.classes is None:
        return np.zeros((0, 0)), None
    numbers = encode(labels, answers.classes.tolist())
    hot = (numbers[:, np.newaxis] == np.arange(len(answers.classes))).astype(np.float64)
    return hot, answers.probabilities.astype(np.float64)


def _mean_of(values: Array) -> Scorer:
    return lambda weights: divide(weights @ values, weights.sum(axis=1))


def _undefined(weights: Array) -> Array:
    return np.full(len(weights), np.nan)
