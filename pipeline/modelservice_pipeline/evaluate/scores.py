"""Numbers per class, whatever a model means by them, as probabilities."""

import numpy as np

from modelservice_pipeline.evaluate.classification import Array

_SUM_TOLERANCE = 1e-3
"""Of the sum of a row: half-precision models are that far from 1."""


def to_probabilities(scores: Array) -> tuple[Array, str]:
    """Return probabilities, [rows, classes], of [rows, classes] or of [rows], and what was taken for what.

    One number a row is of the second of two classes. Numbers within 0 and 1 are probabilities; others are
    logits, of which the softmax (of one, the sigmoid) is taken.
    """
    within = bool(((scores >= 0) & (scores <= 1)).all())
    if scores.ndim == 1:
        if within:
            return np.stack([1 - scores, scores], axis=1), "the probability of the second of two classes"
        positive = _sigmoid(scores)
        return np.stack(
            [1 - positive, positive], axis=1
        ), "the logit of the second of two classes (sigmoid taken)"
    sums = scores.sum(axis=1, keepdims=True)
    if within and (np.abs(sums - 1) <= _SUM_TOLERANCE).all():
        return scores, "probabilities"
    if within and (sums > 0).all():
        return scores / sums, "a probability of each class for itself (divided by their sum)"
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True), "logits (softmax taken)"


def _sigmoid(values: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -values))
