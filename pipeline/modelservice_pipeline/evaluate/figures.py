"""All figures of one model on one data set, as a report has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import choose_positive, distinct
from modelservice_pipeline.evaluate.calibration import compute_reliability
from modelservice_pipeline.evaluate.classification import Array, count_confusion
from modelservice_pipeline.evaluate.groups import group_values
from modelservice_pipeline.evaluate.metrics import METRICS, Metric
from modelservice_pipeline.evaluate.outputs import Found
from modelservice_pipeline.evaluate.resampling import (
    Bootstrap,
    bootstrap_interval,
    compute_figures_of_parts,
    leave_one_out,
    make_folds,
)
from modelservice_pipeline.evaluate.sums import beyond_numbers

_MOST_SCORES = 20_000_000
"""Rows times classes times resamples that metrics of probabilities go through: a second or two."""
_FEWEST_RESAMPLES = 200
_MOST_LEFT_OUT = 5000
"""Each row is left out once, and the figure computed of all others: the work grows with the square."""


@dataclass(frozen=True)
class Settings:
    """What is computed besides the figures of all rows.

    Attributes:
        how: Of intervals.
        positive: The class that binary metrics are about; None: `choose_positive` decides.
        folds: How many parts figures are computed for; 0 for none.
        trains: Whether a model of its own is trained for each fold, elsewhere.
        leave_one_out: Whether figures without each row in turn are computed.
    """

    how: Bootstrap
    positive: Any = None
    folds: int = 0
    trains: bool = False
    leave_one_out: bool = False


def select_metrics(found: Found) -> list[Metric]:
    """Return the metrics that have a meaning for these answers."""
    with_probabilities = found.answers.probabilities is not None
    return [
        metric for metric in METRICS.values()
        if metric.task == found.task and (with_probabilities or not metric.needs_probabilities)
    ]  # fmt: skip


def choose_class(found: Found, asked: Any, *others: Found) -> Any:
    """Return the positive class: the one that was asked for, else the greater of two, else None."""
    if found.task != "classification":
        return None
    return (
        choose_positive(found.labels, found.answers, *(other.answers for other in others))
        if asked is None
        else asked
    )


@beyond_numbers
def compute_figures(found: Found, slices: Mapping[str, Array], settings: Settings) -> dict[str, Any]:
    """Return facts: figures with intervals, classes, calibration, slices, folds, leave-one-out."""
    positive = choose_class(found, settings.positive)
    metrics = select_metrics(found)
    facts: dict[str, Any] = {
        "task": found.task,
        "notes": list(found.notes),
        "positive": positive,
        "figures": {metric.name: _interval(metric, found, positive, settings.how) for metric in metrics},
    }
    if found.task == "classification":
        facts |= {"classes": _describe_classes(found), "confusion": _describe_confusion(found)}
        facts |= {"calibration": _describe_calibration(found)}
    facts["slices"] = {
        name: _describe_parts(found, metrics, positive, group_values(values))
        for name, values in slices.items()
    }
    if settings.folds and not settings.trains:
        facts["folds"] = _describe_folds(found, metrics, positive, settings)
    if settings.leave_one_out:
        _check_leave_one_out(found)
        facts["leave_one_out"] = {metric.name: _describe_rows(metric, found, positive) for metric in metrics}
    return facts


def _check_leave_one_out(found: Found) -> None:
    if len(found.labels) > _MOST_LEFT_OUT:
        raise PipelineError(
            f"--leave-one-out of {len(found.labels)} rows takes long and tells little: at most "
            f"{_MOST_LEFT_OUT}; choose some at random with --rows N"
        )


def limit_resamples(metric: Metric, found: Found, how: Bootstrap) -> Bootstrap:
    """Return how to resample: less often where a metric sorts many rows for each of many classes."""
    if not metric.needs_probabilities or how.resamples is not None or found.answers.classes is None:
        return how
    fitting = _MOST_SCORES // (len(found.labels) * len(found.answers.classes))
    return replace(how, resamples=int(np.clip(fitting, _FEWEST_RESAMPLES, 2000)))


def to_number(value: float) -> float | None:
    """Return a figure as JSON can say it: None where it has no meaning."""
    return float(value) if np.isfinite(value) else None


def _interval(metric: Metric, found: Found, positive: Any, how: Bootstrap) -> dict[str, float | None]:
    interval = bootstrap_interval(
        metric, found.labels, found.answers, limit_resamples(metric, found, how), positive
    )
    return {name: to_number(getattr(interval, name)) for name in ("value", "low", "high")}


def _describe_classes(found: Found) -> list[dict[str, Any]]:
    rows = []
    everything = np.ones((1, len(found.labels)))
    per_class = [METRICS[name] for name in ("precision", "recall", "f1", "roc_auc", "average_precision")]
    for name in distinct(found.labels, found.answers.predicted):
        figures = {
            metric.name: to_number(metric.build(found.labels, found.answers, name)(everything)[0])
            for metric in per_class
            if found.answers.probabilities is not None or not metric.needs_probabilities
        }
        rows.append({"class": name, "rows": sum(label == name for label in found.labels.tolist()), **figures})
    return rows


def _describe_confusion(found: Found) -> dict[str, Any]:
    classes = distinct(found.labels, found.answers.predicted)
    return {
        "classes": classes,
        "matrix": count_confusion(found.labels, found.answers.predicted, classes).tolist(),
    }


def _describe_calibration(found: Found) -> list[dict[str, float | int | None]] | None:
    if found.answers.probabilities is None:
        return None
    points = compute_reliability(found.labels, found.answers)
    return [
        {"rows": int(count), "confidence": to_number(sure), "accuracy": to_number(right)}
        for count, sure, right in zip(points.counts, points.confidences, points.accuracies, strict=True)
    ]


def _describe_parts(
    found: Found, metrics: Sequence[Metric], positive: Any, parts: Mapping[str, Array]
) -> list[dict[str, Any]]:
    masks = np.stack(list(parts.values()))
    figures = {
        metric.name: compute_figures_of_parts(metric, found.labels, found.answers, masks, positive)
        for metric in metrics
    }
    return [
        {
            "value": name,
            "rows": int(mask.sum()),
            "figures": {metric: to_number(values[number]) for metric, values in figures.items()},
        }
        for number, (name, mask) in enumerate(parts.items())
    ]


def _describe_folds(
    found: Found, metrics: Sequence[Metric], positive: Any, settings: Settings
) -> dict[str, Any]:
    folds = make_folds(found.labels, settings.folds, settings.how.seed)
    parts = _describe_parts(
        found, metrics, positive, {str(number + 1): folds == number for number in range(settings.folds)}
    )
    return {"trained": False, "parts": parts, "summary": summarise_parts(parts)}


@beyond_numbers
def summarise_parts(parts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return mean, standard deviation (of a sample), least and greatest of each figure over parts."""
    summary = {}
    for name in parts[0]["figures"]:
        values = np.array([part["figures"][name] for part in parts if part["figures"][name] is not None])
        spread = values.std(ddof=1) if len(values) > 1 else np.nan
        found = (values.mean(), spread, values.min(), values.max()) if len(values) else (np.nan,) * 4
        summary[name] = dict(
            zip(("mean", "deviation", "least", "greatest"), map(to_number, found), strict=True)
        )
    return summary


def _describe_rows(metric: Metric, found: Found, positive: Any) -> dict[str, float | int | None]:
    jackknife = leave_one_out(metric, found.labels, found.answers, positive)
    return {
        "least": to_number(jackknife.lowest),
        "greatest": to_number(jackknife.highest),
        "standard_error": to_number(jackknife.standard_error),
        "row": jackknife.row + 1,
    }
