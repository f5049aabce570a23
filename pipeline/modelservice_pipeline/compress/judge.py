"""Holds a candidate's answers against the original's on the same rows: by how much is it worse, at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from modelservice_pipeline.compress.closeness import score_rows
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.figures import choose_class, limit_resamples, select_metrics
from modelservice_pipeline.evaluate.metrics import get_metric
from modelservice_pipeline.evaluate.outputs import Found, Reading, find_class, read_answers
from modelservice_pipeline.evaluate.resampling import Bootstrap, paired_bootstrap

Array = np.ndarray[Any, Any]
Answers = Mapping[str, Array]

_RESAMPLES = 2000
CONFIDENCE = 0.95
_USUAL_METRICS = {"classification": "f1", "regression": "mae", "text": "chrf"}


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


class LabelJudge:
    """Scores both against labels, by the paired bootstrap of the command `evaluate`.

    Args:
        metric: Its name, or None: F1 of classes, the mean absolute error of numbers, chrF of texts.
        labels: The truth, [rows].
        reading: What the user says about the outputs.
        positive: The class that binary metrics are about, as text; None: the greater of two.
        seed: Of the draws.
    """

    def __init__(
        self, metric: str | None, labels: Array, reading: Reading, positive: str | None = None, seed: int = 0
    ) -> None:
        self._labels, self._reading, self._positive = labels, reading, positive
        self._asked, self._how = metric, Bootstrap(CONFIDENCE, seed=seed)
        self.metric = metric or ""

    def compare(self, original: Answers, candidate: Answers) -> Verdict:
        """Return the verdict on a candidate. Raises PipelineError."""
        stable = self._read(original)
        other = read_answers(candidate, self._labels, self._reading)
        metric = get_metric(self.metric)
        result = paired_bootstrap(
            metric,
            stable.labels,
            stable.answers,
            other.answers,
            limit_resamples(metric, stable, self._how),
            choose_class(stable, find_class(stable, self._positive), other),
        )
        if result.stable == 0 and metric.higher_is_better and metric.task != "regression":
            raise PipelineError(
                f"the original's {metric.name} on these rows is 0, below which nothing can fall: see by "
                "'modelservice model evaluate' whether labels and answers mean the same, or leave labels out "
                "by --metric agreement"
            )
        return Verdict(result.stable, result.candidate, result.drop, result.bound)

    def _read(self, original: Answers) -> Found:
        found = read_answers(original, self._labels, self._reading)
        self.metric = self.metric or _USUAL_METRICS[found.task]
        metric = get_metric(self.metric)
        if metric not in select_metrics(found):
            possible = ", ".join(one.name for one in select_metrics(found))
            raise PipelineError(
                f"--metric {self.metric}: these answers have no such figure; they have {possible}"
            )
        return found
