"""The verdict of an evaluation on what its Job measured: the floor, and the drop against the old model. Pure.

A bound that is crossed fails it. Where too few rows were there, or where so few tell no more than that the
drop may be larger than it may be, nobody knows: that neither passes nor fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modelservice_operator.api import parse_quantity
from modelservice_operator.decide.gates.analysis import exact, write_number

if TYPE_CHECKING:
    from decimal import Decimal

    from modelservice_operator.api import Evaluation
    from modelservice_operator.decide.gates.analysis import Result
    from modelservice_operator.facts.scored import Score

GATE = "Evaluation"
"""`gate` of its verdicts."""


class Judgement(NamedTuple):
    """What a measurement comes to."""

    result: Result
    message: str = ""
    threshold: Decimal | None = None
    """The least that the value might be, as far as that is known."""


def judge_score(evaluation: Evaluation, score: Score) -> Judgement:
    """Judge one measurement by the bounds of `spec.rollout.evaluation`."""
    if not score.is_finite:
        return Judgement("Inconclusive", f"{evaluation.metric} has no value that is a number")
    least, allowed = _read(evaluation.min), _read(evaluation.max_drop)
    value, stable = exact(score.value), None if score.stable is None else exact(score.stable)
    limits = [least] if least is not None else []
    limits += [stable - allowed] if stable is not None and allowed is not None else []
    threshold = max(limits, default=None)
    crossed = []
    if least is not None and value < least:
        crossed.append(f"{write_number(value)} is less than min {write_number(least)}")
    if stable is not None and allowed is not None and stable - value > allowed:
        crossed.append(
            f"{write_number(value)} is more than maxDrop {write_number(allowed)} below the old revision's "
            f"{write_number(stable)}"
        )
    if score.rows < evaluation.min_rows:
        few = f"it was computed on {score.rows} rows, fewer than minRows ({evaluation.min_rows})"
        return Judgement("Inconclusive", few, threshold)
    if crossed:
        return Judgement("Failed", "; ".join(crossed), threshold)
    unknown = _find_doubt(score, stable, allowed)
    return Judgement("Inconclusive" if unknown else "Passed", unknown, threshold)


def _find_doubt(score: Score, stable: Decimal | None, allowed: Decimal | None) -> str:
    """Return why chance may hide too large a drop, nothing where it does not."""
    if stable is None or allowed is None:
        return ""
    if score.bound is None:
        return "nothing says how much of the difference is chance"
    if exact(score.bound) <= allowed:
        return ""
    return (
        f"on {score.rows} rows {write_number(score.value)} tells no more than that it is at most "
        f"{write_number(score.bound)} below the old revision's {write_number(stable)}, and maxDrop is "
        f"{write_number(allowed)}: take more rows, or a larger maxDrop"
    )


def _read(quantity: str | None) -> Decimal | None:
    return None if quantity is None else parse_quantity(quantity)
