"""Holds a candidate's answers against the original's on the same rows: by how much is it worse, at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from modelservice_pipeline.compress.closeness import score_rows

Array = np.ndarray[Any, Any]
Answers = Mapping[str, Array]

_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """A candidate's quality.

    Attributes:
        original: The original's figure.
        candidate: The candidate's.
        drop: How much worse it is; below 0 where it is better.
        drop_bound: What the drop is below, with 95 % confidence (paired bootstrap over the rows).
    """

    original: float
    candidate: float
    drop: float
    drop_bound: float


class Judge(Protocol):
    """Compares answers to the rows that it knows."""

    metric: str

    def compare(self, original: Answers, candidate: Answers) -> Verdict:
        """Return the verdict on a candidate. Raises PipelineError."""


class ClosenessJudge:
    """Needs no labels: the original's answers are the right ones."""

    def __init__(self, metric: str, seed: int = 0) -> None:
        self.metric, self._seed = metric, seed

    def compare(self, original: Answers, candidate: Answers) -> Verdict:
        """Return the verdict on a candidate. Raises PipelineError."""
        scores = score_rows(self.metric, original, candidate)
        drop = 1 - float(scores.mean())
        return Verdict(1.0, 1 - drop, drop, _bound_of_mean(1 - scores, self._seed))


def _bound_of_mean(losses: Array, seed: int) -> float:
    chance = np.random.default_rng(seed)
    means = [losses[chance.integers(0, len(losses), len(losses))].mean() for _ in range(_RESAMPLES)]
    return float(np.quantile(means, CONFIDENCE))
