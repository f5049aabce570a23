"""What a measured score comes to, by the bounds of an evaluation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.api import Evaluation
from modelservice_operator.decide.gates.evaluation import judge_score
from modelservice_operator.facts.scored import Score, parse_score

DATA = {"storageUri": "pvc://data/rows.csv"}
SHARES = st.integers(0, 1000).map(lambda one: one / 1000)


def make_evaluation(**fields: Any) -> Evaluation:
    return Evaluation.model_validate({"data": DATA, "minRows": 10, **fields})


@pytest.mark.parametrize(
    ("bounds", "score", "result", "said"),
    [
        ({"min": "0.9"}, {"value": 0.9}, "Passed", ""),
        ({"min": "0.9"}, {"value": 0.8999}, "Failed", "0.8999 is less than min 0.9"),
        ({"min": "0.9"}, {"value": 0.95, "stable": 1.0, "bound": 0.2}, "Passed", ""),
        ({"maxDrop": "0.01"}, {"value": 0.8}, "Passed", ""),
        ({"maxDrop": "0.01"}, {"value": 0.9, "stable": 0.9, "bound": 0.01}, "Passed", ""),
        (
            {"maxDrop": "0.01"},
            {"value": 0.88, "stable": 0.9, "bound": 0.03},
            "Failed",
            "more than maxDrop 0.01",
        ),
        ({"maxDrop": "0.01"}, {"value": 0.9, "stable": 0.9, "bound": 0.02}, "Inconclusive", "take more rows"),
        ({"maxDrop": "0.01"}, {"value": 0.9, "stable": 0.9}, "Inconclusive", "chance"),
        ({"min": "0.5", "maxDrop": "0"}, {"value": 0.9, "stable": 0.8, "bound": -0.05}, "Passed", ""),
        ({"min": "0.5"}, {"value": 0.1, "rows": 9}, "Inconclusive", "9 rows, fewer than minRows (10)"),
        ({"min": "0.5"}, {"value": float("nan")}, "Inconclusive", "Accuracy has no value that is a number"),
        ({"min": "0.5"}, {"value": 0.9, "bound": float("inf")}, "Inconclusive", "no value that is a number"),
    ],
)
def test_score_is_judged_by_floor_and_drop(
    bounds: dict[str, str], score: dict[str, Any], result: str, said: str
) -> None:
    found = judge_score(make_evaluation(**bounds), Score(**{"rows": 10, **score}))

    assert found.result == result
    assert said in found.message
    assert bool(found.message) == (result != "Passed")


def test_threshold_is_the_higher_of_both_floors() -> None:
    evaluation = make_evaluation(min="0.7", maxDrop="0.1")

    assert judge_score(evaluation, Score(value=0.9, rows=10)).threshold == Decimal("0.7")
    assert judge_score(evaluation, Score(value=0.9, rows=10, stable=0.9, bound=0.0)).threshold == Decimal(
        "0.8"
    )


@given(SHARES, SHARES, SHARES, SHARES, st.integers(0, 20))
def test_what_is_passed_keeps_every_bound_and_what_fails_crosses_one(
    value: float, stable: float, least: float, allowed: float, rows: int
) -> None:
    score = Score(value=value, rows=rows, stable=stable, bound=stable - value + 0.01)
    result = judge_score(make_evaluation(min=str(least), maxDrop=str(allowed)), score).result

    exact = [Decimal(repr(one)) for one in (value, stable, least, allowed)]
    is_crossed = exact[0] < exact[2] or exact[1] - exact[0] > exact[3]
    if rows < 10:
        assert result == "Inconclusive"
    elif is_crossed:
        assert result == "Failed"
    else:
        assert result in ("Passed", "Inconclusive")
    assert result != "Passed" or stable - value + 0.01 <= allowed + 1e-12


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "0.9",
        '{"value": "0.9", "rows": 3}',
        '{"value": 1, "rows": -1}',
        '{"value": 1, "rows": 3',
        "[]",
    ],
)
def test_message_that_is_no_score_is_none(text: str) -> None:
    assert parse_score(text) is None
