"""How sure a figure is: bootstrap, paired bootstrap, folds and leave-one-out of one model's answers.

Nothing is trained here: the model stays as it is, and the rows vary. So an interval says how much the figure
may differ on other rows like these, and folds how much it does on parts of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.answers import Answers, choose_positive
from modelservice_pipeline.evaluate.classification import Array
from modelservice_pipeline.evaluate.metrics import Metric, get_metric
from modelservice_pipeline.evaluate.sums import beyond_numbers, encode

_MOST_RESAMPLES, _FEWEST_RESAMPLES = 2000, 200
_MOST_DRAWS = 200_000_000
"""Draws of a row in all resamples together: some seconds."""
_CHUNK = 4_000_000
"""Weights that are held at once."""
_BY_LABELS = object()
"""As `choose_positive` does."""


@dataclass(frozen=True)
class Bootstrap:
    """How to resample.

    Attributes:
        confidence: The share of resamples within an interval, or on the good side of a bound.
        resamples: How many; by default 2000, and fewer (at least 200) of more than 100,000 rows.
        seed: Of the draws.
    """

    confidence: float = 0.95
    resamples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap interval, which holds it; all NaN where the figure has no meaning."""

    value: float
    low: float
    high: float


_DEFAULT = Bootstrap()


@dataclass(frozen=True)
class PairedResult:
    """What a candidate loses against a stable model on the same rows.

    Attributes:
        metric: Its name.
        stable: The figure of the stable model.
        candidate: That of the candidate.
        drop: How much worse the candidate is: positive is worse, whichever way the metric goes.
        bound: With `confidence`, the drop is not greater (one side).
        low: The lower end of the drop's interval of two sides.
        high: The upper end.
        share_worse: The share of resamples in which the candidate is worse; equal ones count half.
        rows: How many rows were compared.
        resamples: How many resamples were drawn.
        confidence: Of `bound`, and of the interval.
    """

    metric: str
    stable: float
    candidate: float
    drop: float
    bound: float
    low: float
    high: float
    share_worse: float
    rows: int
    resamples: int
    confidence: float


@dataclass(frozen=True)
class Jackknife:
    """A figure without each row in turn.

    Attributes:
        lowest: The least of these figures.
        highest: The greatest.
        standard_error: Of the figure with all rows, by the jackknife.
        row: The row without which the figure differs most.
    """

    lowest: float
    highest: float
    standard_error: float
    row: int


@dataclass(frozen=True)
class _Rows:
    """Rows that stand for all: equal ones are one with a count; `of` says which of them stands for a row."""

    first: Array
    counts: Array
    of: Array


@beyond_numbers
def compute_figure(metric: Metric, labels: Array, answers: Answers, positive: Any = _BY_LABELS) -> float:
    """Return a metric of all rows; NaN where it has no meaning."""
    scorer = metric.build(labels, answers, _resolve(positive, labels, answers))
    return float(scorer(np.ones((1, len(labels))))[0])


@beyond_numbers
def compute_figures_of_parts(
    metric: Metric, labels: Array, answers: Answers, masks: Array, positive: Any = _BY_LABELS
) -> Array:
    """Return a metric of parts of the rows: [parts] from masks [parts, rows]."""
    scorer = metric.build(labels, answers, _resolve(positive, labels, answers))
    return np.concatenate([scorer(mask[np.newaxis].astype(np.float64)) for mask in masks])


@beyond_numbers
def bootstrap_interval(
    metric: Metric, labels: Array, answers: Answers, how: Bootstrap = _DEFAULT, positive: Any = _BY_LABELS
) -> Interval:
    """Return a metric and its interval by the percentiles of resamples (Efron 1979), median on the figure.

    Args:
        metric: The metric.
        labels: The truth, [rows].
        answers: The model's answers to the same rows.
        how: Confidence, resamples and seed.
        positive: The class of binary metrics, None for means; by default as `choose_positive` does.
    """
    chosen = _resolve(positive, labels, answers)
    rows = _merge_rows(metric, labels, answers)
    scorer = metric.build(labels[rows.first], answers.take(rows.first), chosen)
    value = float(scorer(rows.counts[np.newaxis].astype(np.float64))[0])
    drawn = np.concatenate([scorer(weights) for weights in _draw(rows.counts, how)])
    low, high = _find_ends(drawn, value, [(1 - how.confidence) / 2, (1 + how.confidence) / 2])
    return Interval(value, low, high)


@beyond_numbers
def paired_bootstrap(
    metric: Metric | str,
    labels: Array,
    stable: Answers,
    candidate: Answers,
    how: Bootstrap = _DEFAULT,
    positive: Any = _BY_LABELS,
) -> PairedResult:
    """Return what a candidate loses against a stable model, and the bound on the loss.

    Both models answer the same rows, and every resample draws the same rows for both: what is hard for both
    cancels out. The candidate holds a budget with this confidence where `bound` is at most the budget.

    Args:
        metric: The metric or its name.
        labels: The truth, [rows].
        stable: The answers of the model in use.
        candidate: Those of the model that may replace it.
        how: Confidence, resamples and seed.
        positive: As for `bootstrap_interval`.

    Raises:
        PipelineError: The models answered another number of rows, or the figure has no meaning on these rows.
    """
    metric = get_metric(metric) if isinstance(metric, str) else metric
    if not len(labels) == len(stable) == len(candidate):
        raise PipelineError(f"there are {len(labels)} labels, and {len(stable)} and {len(candidate)} answers")
    chosen = _resolve(positive, labels, stable, candidate)
    rows = _merge_rows(metric, labels, stable, candidate)
    one, other = (
        metric.build(labels[rows.first], each.take(rows.first), chosen) for each in (stable, candidate)
    )
    whole = rows.counts[np.newaxis].astype(np.float64)
    before, after = float(one(whole)[0]), float(other(whole)[0])
    if np.isnan(before) or np.isnan(after):
        raise PipelineError(explain_undefined(metric))
    sign = 1.0 if metric.higher_is_better else -1.0
    drop = sign * (before - after)
    drops = np.concatenate([sign * (one(drawn) - other(drawn)) for drawn in _draw(rows.counts, how)])
    tail = (1 - how.confidence) / 2
    low, high, bound = _find_ends(drops, drop, [tail, 1 - tail, how.confidence])
    return PairedResult(
        metric=metric.name,
        stable=before,
        candidate=after,
        drop=drop,
        bound=bound,
        low=low,
        high=high,
        share_worse=float(np.nanmean((drops > 0) + 0.5 * (drops == 0))),
        rows=len(labels),
        resamples=len(drops),
        confidence=how.confidence,
    )


def make_folds(labels: Array, count: int, seed: int = 0) -> Array:
    """Return the fold of each row, int64 [rows]; every class is spread evenly over the folds.

    Raises PipelineError where there are fewer rows than folds.
    """
    if not 2 <= count <= len(labels):
        raise PipelineError(f"{count} folds: there must be at least 2, and no more than rows ({len(labels)})")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    if labels.dtype.kind == "f" or labels.ndim > 1:
        classes = np.zeros(len(labels), np.int64)
    else:
        classes = encode(labels, sorted(set(labels.tolist()), key=str))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % count
    return folds


@beyond_numbers
def leave_one_out(metric: Metric, labels: Array, answers: Answers, positive: Any = _BY_LABELS) -> Jackknife:
    """Return how much a metric hangs on single rows: it is computed without each of them in turn."""
    chosen = _resolve(positive, labels, answers)
    rows = _merge_rows(metric, labels, answers)
    scorer = metric.build(labels[rows.first], answers.take(rows.first), chosen)
    without = np.concatenate([scorer(weights) for weights in _leave_out(rows.counts)])
    each = without[rows.of]
    mean = np.nanmean(each) if not np.isnan(each).all() else np.nan
    spread = np.nansum((each - mean) ** 2) * (len(each) - 1) / len(each)
    apart = np.nan_to_num(np.abs(each - mean))
    return Jackknife(_least(each), -_least(-each), float(np.sqrt(spread)), int(apart.argmax()))


def explain_undefined(metric: Metric) -> str:
    """Say why a figure may have no meaning."""
    if metric.needs_probabilities:
        return f"{metric.title} has no meaning here: it needs probabilities, and rows of every class"
    return f"{metric.title} has no meaning on these rows: all labels are equal"


def count_resamples(rows: int, is_merged: bool, asked: int | None) -> int:
    """Return how many resamples are drawn of so many rows, merged or one by one."""
    if asked is not None:
        return asked
    most = _MOST_RESAMPLES if is_merged else _MOST_DRAWS // max(1, rows)
    return min(max(most, _FEWEST_RESAMPLES), _MOST_RESAMPLES)


def _resolve(positive: Any, labels: Array, *answers: Answers) -> Any:
    return choose_positive(labels, *answers) if positive is _BY_LABELS else positive


def _merge_rows(metric: Metric, labels: Array, *answers: Answers) -> _Rows:
    """Merge rows with the same label and the same answers, where a metric sees no more of a row than these.

    A resample of n rows then is one draw from a multinomial distribution over a few kinds of rows.
    """
    count = len(labels)
    alone = _Rows(np.arange(count), np.ones(count, np.int64), np.arange(count))
    if metric.task != "classification" or metric.needs_probabilities:
        return alone
    kinds: dict[tuple[Any, ...], int] = {}
    seen = zip(labels.tolist(), *(one.predicted.tolist() for one in answers), strict=True)
    of = np.fromiter((kinds.setdefault(kind, len(kinds)) for kind in seen), np.int64, count)
    if len(kinds) * 4 > count:
        return alone
    _, first, counts = np.unique(of, return_index=True, return_counts=True)
    return _Rows(first, counts, of)


def _draw(counts: Array, how: Bootstrap) -> Iterator[Array]:
    """Yield weights, [some resamples, rows], float64: how often each row was drawn."""
    generator = np.random.default_rng(how.seed)
    size, total = len(counts), int(counts.sum())
    resamples = count_resamples(size, size < total, how.resamples)
    at_once = max(1, _CHUNK // size)
    for start in range(0, resamples, at_once):
        many = min(at_once, resamples - start)
        if size < total:
            yield generator.multinomial(total, counts / total, many).astype(np.float64)
        else:
            drawn = generator.integers(0, size, (many, size)) + np.arange(many)[:, np.newaxis] * size
            yield np.bincount(drawn.ravel(), minlength=many * size).reshape(many, size).astype(np.float64)


def _leave_out(counts: Array) -> Iterator[Array]:
    size = len(counts)
    at_once = max(1, _CHUNK // size)
    for start in range(0, size, at_once):
        many = min(at_once, size - start)
        weights = np.tile(counts.astype(np.float64), (many, 1))
        weights[np.arange(many), start + np.arange(many)] -= 1
        yield weights


def _find_ends(drawn: Array, value: float, shares: list[float]) -> list[float]:
    """Return quantiles of resamples, moved by what their median is off the figure of all rows.

    Resamples lack rare classes and hold rows twice: a mean over classes may be greater in nearly all of them.
    No end leaves the span of what was drawn, so a share stays one.
    """
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(value):
        return [float("nan")] * len(shares)
    moved = value + (np.quantile(drawn, shares) - np.median(drawn))
    ends: list[float] = moved.clip(min(drawn.min(), value), max(drawn.max(), value)).tolist()
    return ends


def _least(values: Array) -> float:
    return float(np.nanmin(values)) if not np.isnan(values).all() else float("nan")
