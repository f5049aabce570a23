"""What a figure must be, and how much of it a candidate may lose: the verdicts of a report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.evaluate.metrics import METRICS, get_metric


@dataclass(frozen=True)
class Limit:
    """A limit of a metric: of its value, or of what the second model loses (`is_drop`)."""

    metric: str
    value: float
    is_drop: bool


def parse_limit(text: str, flag: str, is_drop: bool) -> Limit:
    """Return the limit that METRIC=VALUE means. Raises PipelineError."""
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not equals or math.isnan(number):
        raise PipelineError(f"{flag} {text}: is not METRIC=VALUE, as f1=0.9")
    return Limit(get_metric(name).name, number, is_drop)


def judge(limit: Limit, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether a limit holds, by the facts of a report, and say so. Raises PipelineError.

    The limit of a value is that of the model that would be used: of two the second.
    """
    return _judge_drop(limit, facts) if limit.is_drop else _judge_value(limit, facts.get("candidate", facts))


def _judge_value(limit: Limit, facts: Mapping[str, Any]) -> dict[str, Any]:
    value = facts["figures"].get(limit.metric, {"value": None})["value"]
    if value is None:
        raise PipelineError(f"--at-least {limit.metric}: these answers have no such figure")
    is_higher = METRICS[limit.metric].higher_is_better
    holds = value >= limit.value if is_higher else value <= limit.value
    wanted = "at least" if is_higher else "at most"
    return _say(limit, value, holds, f"{limit.metric} is {_show(value)}, wanted {wanted} {limit.value:g}")


def _judge_drop(limit: Limit, facts: Mapping[str, Any]) -> dict[str, Any]:
    found = [one for one in facts["comparison"] if one["metric"] == limit.metric]
    if not found:
        raise PipelineError(f"--max-drop {limit.metric}: these answers have no such figure")
    drop, bound = found[0]["drop"], found[0]["bound"]
    if bound is None:
        raise PipelineError(f"--max-drop {limit.metric}: no resample of these rows has such a figure")
    sentence = f"{limit.metric} drops by {_show(drop)} and at most by {_show(bound)}, allowed {limit.value:g}"
    return _say(limit, bound, bound <= limit.value, sentence)


def _show(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e12 else f"{value:.4g}"


def _say(limit: Limit, value: float, holds: bool, sentence: str) -> dict[str, Any]:
    kind = "drop" if limit.is_drop else "value"
    verdict = "holds" if holds else "fails"
    return {
        "metric": limit.metric, "of": kind, "limit": limit.value, "found": value, "holds": holds,
        "sentence": f"{sentence}: {verdict}",
    }  # fmt: skip
