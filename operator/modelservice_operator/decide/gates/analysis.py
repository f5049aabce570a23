"""The verdict of an analysis on one measurement: each metric against its bounds.

A bound that is crossed fails the metric, whatever else is unknown. Otherwise a bound that cannot be
looked at (too few requests, no value, nothing to compare with) leaves it open, and so does one that so many
requests may have crossed by chance: what nobody measured neither passes nor fails. A value that equals its
bound passes.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from modelservice_operator.api import parse_quantity
from modelservice_operator.api.spec.analysis import SECONDS
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.api import Analysis, AnalysisMetric
    from modelservice_operator.facts.measured import Measurement, Window

Result = Literal["Passed", "Failed", "Inconclusive"]

GATE = "Analysis"
"""`gate` of the verdicts whose bounds are remembered."""
LEAST_DIFFERENCES = dict.fromkeys(SECONDS, Decimal("0.001"))
"""Seconds by which a value may be more whatever the ratio: where answers take a fraction of a millisecond,
who is asked less often, and so finds its memory cold, is easily twice as slow."""
MOST_REQUESTS = 2**31 - 1
"""That a status can hold."""
_MAX_MESSAGE_CHARACTERS = 1024


class MetricVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement says of one metric."""

    metric: str
    """Its type; with its place in the analysis (`Prometheus[3]`) where the type alone does not name it."""
    result: Result
    value: float | None = None
    """The new revision's."""
    stable: float | None = None
    """The old revision's in the same time."""
    threshold: Decimal | None = None
    """The tightest of the bounds that could be looked at, as the most that the value may be."""
    requests: int | None = None
    """To the new revision in that time."""
    message: str = ""
    """Which bound was crossed, or what is missing."""


class _Bound(msgspec.Struct, frozen=True):
    """The most that a value may be, or why nobody can say."""

    limit: Decimal | None
    said: str
    """The bound in words, or what is missing."""
    allows_zero: bool = False
    """Whether a value of 0 is within it all the same."""


def judge(
    analysis: Analysis, measurement: Measurement, thresholds: Mapping[str, Decimal] | None = None
) -> tuple[MetricVerdict, ...]:
    """One verdict for each metric of the analysis, in its order.

    `thresholds` are the bounds that held before, by the metric's place ("0"): after the change there is no
    old revision to compare with.
    """
    return tuple(
        _judge_metric(index, analysis, measurement, thresholds) for index in range(len(analysis.metrics))
    )


def outcome(verdicts: Iterable[MetricVerdict]) -> Result:
    """What a measurement says as a whole: failed where any metric did, passed where all did."""
    results = {verdict.result for verdict in verdicts}
    if "Failed" in results:
        return "Failed"
    return "Passed" if results == {"Passed"} else "Inconclusive"


def metric_name(analysis: Analysis, index: int) -> str:
    """Name a metric in verdicts: its type, and its place where that does not tell it from others."""
    kind = analysis.metrics[index].type
    is_unique = [metric.type for metric in analysis.metrics].count(kind) == 1
    return kind if is_unique and kind != "Prometheus" else f"{kind}[{index}]"


def thresholds_from(verdicts: Iterable[Mapping[str, Any]], analysis: Analysis) -> dict[str, Decimal]:
    """Read the newest bound of each metric from `status.rollout.verdicts`, by the metric's place."""
    places = {metric_name(analysis, index): str(index) for index in range(len(analysis.metrics))}
    found: dict[str, Decimal] = {}
    for verdict in verdicts:
        place = places.get(str(verdict.get("metric")))
        threshold = _parse(verdict.get("threshold"))
        if verdict.get("gate") == GATE and place is not None and threshold is not None:
            found[place] = threshold
    return found


def write_verdict(gate: str, verdict: MetricVerdict, time: datetime) -> dict[str, Any]:
    """Return a verdict as an entry of `status.rollout.verdicts`."""
    entry = {
        "gate": gate,
        "metric": verdict.metric,
        "result": verdict.result,
        "value": write_number(verdict.value),
        "stable": write_number(verdict.stable),
        "threshold": write_number(verdict.threshold),
        "requests": None if verdict.requests is None else min(verdict.requests, MOST_REQUESTS),
        "time": format_time(time),
        "message": verdict.message[:_MAX_MESSAGE_CHARACTERS] or None,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _judge_metric(
    index: int, analysis: Analysis, measurement: Measurement, thresholds: Mapping[str, Decimal] | None
) -> MetricVerdict:
    metric, place = analysis.metrics[index], str(index)
    candidate, stable = measurement.candidate, measurement.stable
    read = partial(_value, place=place, min_requests=analysis.min_requests, measurement=measurement)
    value, missing = read(candidate, "the new revision")
    beside, nothing_beside = read(stable, "the old revision")
    if thresholds is None:
        bounds = _bounds(metric, beside, nothing_beside)
    else:
        bounds = _recorded_bounds(metric, thresholds.get(place))
    limits = [bound.limit for bound in bounds if bound.limit is not None]
    result: Result
    if value is None or candidate is None:
        result, message = "Inconclusive", missing
    else:
        result, message = _compare(value, candidate.lowest.get(place, value), bounds)
    return MetricVerdict(
        metric=metric_name(analysis, index),
        result=result,
        value=value,
        stable=beside,
        threshold=min(limits, default=None),
        requests=candidate.requests if candidate is not None else None,
        message=message,
    )


def _value(
    window: Window | None, whose: str, *, place: str, min_requests: int, measurement: Measurement
) -> tuple[float | None, str]:
    """The value in a window that counts, or what is missing."""
    if window is None:
        return None, measurement.problem or f"nothing could be read of {whose}"
    if window.requests < min_requests:
        return None, f"{whose} had {window.requests} requests, fewer than minRequests ({min_requests})"
    samples = window.samples.get(place, window.requests)
    if samples < min_requests:
        return None, f"{whose} has {samples} such times, fewer than minRequests ({min_requests})"
    value = window.values.get(place)
    if value is None or not math.isfinite(value):
        return None, measurement.problems.get(place) or f"{whose} has no such value"
    return value, ""


def _bounds(metric: AnalysisMetric, stable: float | None, nothing_beside: str) -> list[_Bound]:
    """All bounds of a metric; `stable` is the old revision's value, None where `nothing_beside` says why."""
    bounds = []
    beside = None if stable is None else exact(stable)
    if metric.max is not None:
        bounds.append(_highest(metric.max))
    if metric.max_increase is not None:
        increase = parse_quantity(metric.max_increase)
        said = f"maxIncrease {write_number(increase)} above the old revision's {write_number(stable)}"
        bounds.append(_Bound(None, nothing_beside) if beside is None else _Bound(beside + increase, said))
    if metric.max_ratio is not None:
        ratio = parse_quantity(metric.max_ratio)
        said = f"maxRatio {write_number(ratio)} of the old revision's {write_number(stable)}"
        if beside is None:
            bounds.append(_Bound(None, nothing_beside))
        else:
            least = beside + LEAST_DIFFERENCES.get(metric.type, Decimal(0))
            bounds.append(_ratio_bound(beside, max(beside * ratio, least), said))
    return bounds


def _highest(quantity: str) -> _Bound:
    limit = parse_quantity(quantity)
    return _Bound(limit, f"max {write_number(limit)}")


def _ratio_bound(stable: Decimal, limit: Decimal, said: str) -> _Bound:
    """Only 0 is a number of times 0, and that is no limit to remember; below 0 nothing makes sense."""
    if stable > 0:
        return _Bound(limit, said)
    nothing = f"the old revision's value is {write_number(stable)}: maxRatio says nothing"
    return _Bound(None, nothing, allows_zero=stable == 0)


def _recorded_bounds(metric: AnalysisMetric, threshold: Decimal | None) -> list[_Bound]:
    """What held before, and the bound that needs no old revision."""
    bounds = []
    if threshold is not None:
        bounds.append(_Bound(threshold, f"{write_number(threshold)}, the bound before the change"))
    if metric.max is not None:
        bounds.append(_highest(metric.max))
    return bounds or [_Bound(None, "no bound is known from before the change")]


def _compare(value: float, lowest: float, bounds: Sequence[_Bound]) -> tuple[Result, str]:
    """`lowest` is the least that the value may be in the long run."""
    found = exact(value)
    crossed = [bound for bound in bounds if bound.limit is not None and found > bound.limit]
    certain = [bound.said for bound in crossed if bound.limit is not None and exact(lowest) > bound.limit]
    if certain:
        return "Failed", f"{write_number(value)} is more than {' and than '.join(certain)}"
    chance = f"but so few requests tell no more than that it is above {write_number(lowest)}"
    unknown = [f"{write_number(value)} is more than {bound.said}, {chance}" for bound in crossed]
    unknown += [bound.said for bound in bounds if bound.limit is None and (found or not bound.allows_zero)]
    return ("Inconclusive", "; ".join(dict.fromkeys(unknown))) if unknown else ("Passed", "")


def exact(value: float) -> Decimal:
    """The number that people read: 0.01 is exactly the bound "0.01"."""
    return Decimal(repr(float(value)))


def write_number(value: float | Decimal | None) -> str | None:
    """Write a number for people, None for None."""
    return None if value is None else f"{float(value):.6g}"


def _parse(text: object) -> Decimal | None:
    """A number of a status, None where nobody wrote one."""
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
