"""Metrics of classes. Each function returns a scorer: it scores many weightings of the rows at once.

A weighting says how often each row counts: all once for a figure, 0 and 1 for a slice or a fold, the counts
of a resample for the bootstrap. So every figure and its uncertainty come from the same code. The
definitions are those of scikit-learn's `precision_recall_fscore_support` with `zero_division=0`; a figure
that has no meaning (no rows, one class where two are needed) is NaN.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from modelservice_pipeline.evaluate.answers import Answers, distinct
from modelservice_pipeline.evaluate.sums import divide, encode, sum_by_group

Array = np.ndarray[Any, Any]
Scorer = Callable[[Array], Array]
"""From weights, [weightings, rows], to figures, [weightings]."""

_Counts = tuple[Array, Array, Array]
"""True positives, predictions and labels per class, each [weightings, classes]."""


def count_confusion(labels: Array, predicted: Array, classes: list[Any]) -> Array:
    """Return how often each class (row) was taken for each (column), int64 [classes, classes]."""
    true, said = encode(labels, classes), encode(predicted, classes)
    known = (true >= 0) & (said >= 0)
    cells = true[known] * len(classes) + said[known]
    return np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), len(classes))


def score_accuracy(labels: Array, answers: Answers) -> Scorer:
    """Score the share of right answers."""
    right = _is_equal(labels, answers.predicted).astype(np.float64)
    return lambda weights: divide(weights @ right, weights.sum(axis=1))


def score_precision(labels: Array, answers: Answers, average: str, positive: Any = None) -> Scorer:
    """Score the share of right ones among the answers of a class, by an average of scikit-learn's names."""
    return _average(labels, answers, average, positive, lambda tp, said, _: divide(tp, said, 0.0))


def score_recall(labels: Array, answers: Answers, average: str, positive: Any = None) -> Scorer:
    """Score the share that was found of the rows of a class."""
    return _average(labels, answers, average, positive, lambda tp, _, true: divide(tp, true, 0.0))


def score_f1(labels: Array, answers: Answers, average: str, positive: Any = None) -> Scorer:
    """Score the harmonic mean of precision and recall."""
    return _average(
        labels, answers, average, positive, lambda tp, said, true: divide(2 * tp, said + true, 0.0)
    )


def score_balanced_accuracy(labels: Array, answers: Answers) -> Scorer:
    """Score the mean of the recall of all classes that the rows have."""
    count = _count(labels, answers)

    def score(weights: Array) -> Array:
        tp, _, true = count(weights)
        return _mean(divide(tp, true), true > 0)

    return score


def _average(
    labels: Array,
    answers: Answers,
    average: str,
    positive: Any,
    figure: Callable[[Array, Array, Array], Array],
) -> Scorer:
    classes = distinct(labels, answers.predicted)
    count = _count(labels, answers)

    def score(weights: Array) -> Array:
        tp, said, true = count(weights)
        if average == "micro":
            tp, said, true = (part.sum(axis=1) for part in (tp, said, true))
            return np.where(true > 0, figure(tp, said, true), np.nan)
        figures = figure(tp, said, true)
        if average == "binary":
            at = classes.index(positive) if positive in classes else None
            found = np.zeros(len(weights)) if at is None else figures[:, at]
            return np.where(true.sum(axis=1) > 0, found, np.nan)
        if average == "weighted":
            return divide((figures * true).sum(axis=1), true.sum(axis=1))
        return _mean(figures, said + true > 0)

    return score


def _count(labels: Array, answers: Answers) -> Callable[[Array], _Counts]:
    classes = distinct(labels, answers.predicted)
    true, said = encode(labels, classes), encode(answers.predicted, classes)
    right = np.where(true == said, true, -1)

    def count(weights: Array) -> _Counts:
        tp, predicted, support = (sum_by_group(weights, of, len(classes)) for of in (right, said, true))
        return tp, predicted, support

    return count


def _mean(figures: Array, counts: Array) -> Array:
    """Return the mean over classes that count."""
    return divide(np.where(counts, figures, 0.0).sum(axis=1), counts.sum(axis=1))


def _is_equal(labels: Array, predicted: Array) -> Array:
    return np.fromiter(
        (one == other for one, other in zip(labels.tolist(), predicted.tolist(), strict=True)),
        bool,
        len(labels),
    )
