"""How near a candidate's answers are to the original's, row by row: what needs no labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError

Array = np.ndarray[Any, Any]

METRICS = ("agreement", "cosine")
"""`agreement`: the same label. `cosine`: of the angle between two vectors, as of embeddings."""


def score_rows(metric: str, original: Mapping[str, Array], candidate: Mapping[str, Array]) -> Array:
    """Return a score of at most 1 for each row, float64 [rows]; 1 means that nothing changed.

    Several outputs count as their worst. Raises PipelineError where the outputs are not for this metric.
    """
    if metric == "cosine":
        scored = [_cosines(old, candidate[name]) for name, old in original.items() if old.dtype.kind == "f"]
    else:
        scored = [_agreements(old, candidate[name]) for name, old in original.items()]
    if not scored:
        raise PipelineError("--metric cosine: the model has no output of numbers; take agreement")
    worst: Array = np.minimum.reduce(scored)
    return worst


def _cosines(old: Array, new: Array) -> Array:
    left: Array = old.reshape(len(old), -1).astype(np.float64)
    right: Array = new.reshape(len(new), -1).astype(np.float64)
    norms: Array = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    both_zero = ~left.any(axis=1) & ~right.any(axis=1)
    products: Array = np.einsum("ij,ij->i", left, right)
    cosines: Array = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    cosines[both_zero] = 1.0
    return cosines


def _agreements(old: Array, new: Array) -> Array:
    same = np.asarray(_decide(old) == _decide(new)).reshape(len(old), -1)
    return np.asarray(same.all(axis=1), np.float64)


def _decide(answers: Array) -> Array:
    """Return what numbers say: the largest of several, or on which side of one half a single one is."""
    if answers.dtype.kind != "f":
        return answers
    if answers.ndim > 1 and answers.shape[-1] > 1:
        return np.asarray(answers.argmax(axis=-1))
    if answers.size and (np.nanmin(answers) < 0 or np.nanmax(answers) > 1):
        raise PipelineError(
            "--metric agreement: the model answers a number that is no probability; compare directions by "
            "--metric cosine, or give labels and a metric of numbers, such as --metric mae"
        )
    return answers > 0.5
