"""Which metrics there are, by the names that a user types."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate import calibration, classification, ranking, regression, texts
from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.classification import Array, Scorer

Task = Literal["classification", "regression", "text"]


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: As one types it.
        task: What it is for.
        title: What a report calls it.
        build: From labels, answers and the positive class (None: the mean over classes) to a scorer.
        higher_is_better: Which way is up.
        needs_probabilities: Whether classes alone do not do.
    """

    name: str
    task: Task
    title: str
    build: Callable[[Array, Answers, Any], Scorer]
    higher_is_better: bool = True
    needs_probabilities: bool = False


def _average(positive: Any) -> str:
    return "macro" if positive is None else "binary"


_CLASSES = (
    Metric("accuracy", "classification", "accuracy", lambda y, a, _: classification.score_accuracy(y, a)),
    Metric(
        "precision",
        "classification",
        "precision",
        lambda y, a, p: classification.score_precision(y, a, _average(p), p),
    ),
    Metric(
        "recall",
        "classification",
        "recall",
        lambda y, a, p: classification.score_recall(y, a, _average(p), p),
    ),
    Metric("f1", "classification", "F1", lambda y, a, p: classification.score_f1(y, a, _average(p), p)),
    Metric(
        "precision_macro",
        "classification",
        "precision, macro",
        lambda y, a, _: classification.score_precision(y, a, "macro"),
    ),
    Metric(
        "recall_macro",
        "classification",
        "recall, macro",
        lambda y, a, _: classification.score_recall(y, a, "macro"),
    ),
    Metric("f1_macro", "classification", "F1, macro", lambda y, a, _: classification.score_f1(y, a, "macro")),
    Metric(
        "precision_micro",
        "classification",
        "precision, micro",
        lambda y, a, _: classification.score_precision(y, a, "micro"),
    ),
    Metric(
        "recall_micro",
        "classification",
        "recall, micro",
        lambda y, a, _: classification.score_recall(y, a, "micro"),
    ),
    Metric("f1_micro", "classification", "F1, micro", lambda y, a, _: classification.score_f1(y, a, "micro")),
    Metric(
        "f1_weighted",
        "classification",
        "F1, weighted",
        lambda y, a, _: classification.score_f1(y, a, "weighted"),
    ),
    Metric(
        "balanced_accuracy",
        "classification",
        "balanced accuracy",
        lambda y, a, _: classification.score_balanced_accuracy(y, a),
    ),
)
_PROBABILITIES = (
    Metric("roc_auc", "classification", "ROC AUC", ranking.score_roc_auc, needs_probabilities=True),
    Metric(
        "average_precision",
        "classification",
        "average precision",
        ranking.score_average_precision,
        needs_probabilities=True,
    ),
    Metric(
        "log_loss",
        "classification",
        "log loss",
        lambda y, a, _: calibration.score_log_loss(y, a),
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "brier",
        "classification",
        "Brier score",
        lambda y, a, _: calibration.score_brier(y, a),
        higher_is_better=False,
        needs_probabilities=True,
    ),
    Metric(
        "ece",
        "classification",
        "ECE",
        lambda y, a, _: calibration.score_ece(y, a),
        higher_is_better=False,
        needs_probabilities=True,
    ),
)
_OTHERS = (
    Metric("mae", "regression", "MAE", lambda y, a, _: regression.score_mae(y, a), higher_is_better=False),
    Metric("rmse", "regression", "RMSE", lambda y, a, _: regression.score_rmse(y, a), higher_is_better=False),
    Metric("r2", "regression", "R2", lambda y, a, _: regression.score_r2(y, a)),
    Metric("bleu", "text", "BLEU", lambda y, a, _: texts.score_bleu(y, a)),
    Metric("chrf", "text", "chrF2", lambda y, a, _: texts.score_chrf(y, a)),
    Metric("exact", "text", "equal texts", lambda y, a, _: texts.score_exact(y, a)),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_CLASSES, *_PROBABILITIES, *_OTHERS)}
"""By name. `precision`, `recall` and `f1` are of the positive class of two; of more classes, macro means."""


def get_metric(name: str) -> Metric:
    """Return a metric by its name; dashes and letter case do not matter. Raises PipelineError."""
    plain = name.strip().lower().replace("-", "_")
    if plain not in METRICS:
        raise PipelineError(f"there is no metric {name!r}; there are: {', '.join(METRICS)}")
    return METRICS[plain]
