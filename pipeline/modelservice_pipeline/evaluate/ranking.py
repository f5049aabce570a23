"""Metrics of an order: ROC and precision-recall, whose points are the distinct scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.classification import Array, Scorer
from modelservice_pipeline.evaluate.sums import divide


@dataclass(frozen=True)
class Curve:
    """The points of a curve, from the highest threshold down; each [points].

    Attributes:
        thresholds: A row is taken for positive from this score on.
        false_positive_rates: Of ROC.
        true_positive_rates: Of ROC; the recall of precision-recall.
        precisions: Of precision-recall.
    """

    thresholds: Array
    false_positive_rates: Array
    true_positive_rates: Array
    precisions: Array


def compute_curve(is_positive: Array, scores: Array) -> Curve:
    """Return the points at all distinct scores."""
    ordered = _Order(is_positive, scores)
    hits, misses = ordered.accumulate(np.ones((1, len(scores))))
    hits, misses = hits[0], misses[0]
    return Curve(
        ordered.thresholds, divide(misses, misses[-1]), divide(hits, hits[-1]), divide(hits, hits + misses)
    )


def score_roc_auc(labels: Array, answers: Answers, positive: Any = None) -> Scorer:
    """Score the area under the ROC curve; of several classes the mean of one against the rest."""
    return _average(labels, answers, positive, _roc_area)


def score_average_precision(labels: Array, answers: Answers, positive: Any = None) -> Scorer:
    """Score the mean precision, weighted by the steps of recall, as scikit-learn has it."""
    return _average(labels, answers, positive, _precision_area)


class _Order:
    """Rows by falling score, rows of one score together."""

    def __init__(self, is_positive: Array, scores: Array) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
        self._positive = is_positive[self._order]
        self.thresholds = ordered[self._ends]

    def accumulate(self, weights: Array) -> tuple[Array, Array]:
        """Return the positives and the negatives up to each threshold, [weightings, thresholds]."""
        ordered = weights[:, self._order]
        hits = np.cumsum(np.where(self._positive, ordered, 0.0), axis=1)[:, self._ends]
        return hits, np.cumsum(ordered, axis=1, dtype=np.float64)[:, self._ends] - hits


def _roc_area(hits: Array, misses: Array) -> Array:
    before = np.pad(hits, ((0, 0), (1, 0)))[:, :-1]
    steps = np.diff(misses, axis=1, prepend=0.0)
    area = (steps * (before + hits) / 2).sum(axis=1)
    return divide(area, hits[:, -1] * misses[:, -1])


def _precision_area(hits: Array, misses: Array) -> Array:
    steps = np.diff(hits, axis=1, prepend=0.0)
    return divide((steps * divide(hits, hits + misses, 0.0)).sum(axis=1), hits[:, -1])


def _average(labels: Array, answers: Answers, positive: Any, area: Any) -> Scorer:
    if answers.probabilities is None or answers.classes is None:
        return lambda weights: np.full(len(weights), np.nan)
    classes = answers.classes.tolist()
    chosen = [positive] if positive is not None and positive in classes else classes
    orders = [_Order(_equals(labels, one), answers.probabilities[:, classes.index(one)]) for one in chosen]

    def score(weights: Array) -> Array:
        areas = np.stack([area(*order.accumulate(weights)) for order in orders], axis=1)
        defined = ~np.isnan(areas)
        return divide(np.where(defined, areas, 0.0).sum(axis=1), defined.sum(axis=1))

    return score


def _equals(labels: Array, value: Any) -> Array:
    return np.fromiter((label == value for label in labels.tolist()), bool, len(labels))
