from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.cli.rollout.statuses import at, facts_with, rollout, round_of
from tests.unit.operator.builders import NOW

from modelservice_cli.rollout.progress.gates import merge, sparkline, trends, verdict_line
from modelservice_cli.rollout.progress.status import rollout_status
from modelservice_cli.rollout.progress.text import status_line, status_report
from modelservice_cli.rollout.report import as_text
from modelservice_operator.api import Analysis

CONTRACT = {"gate": "Contract", "result": "Passed", "time": at(0), "message": "The same as now."}


def test_verdicts_are_a_table_and_the_words_of_the_newest_round() -> None:
    verdicts = [
        {**CONTRACT, "result": "Inconclusive", "message": "Nobody could tell."},
        *round_of(30, ("ErrorRatio", "0.0001234", "0", "Passed"), ("LatencyP99", "0.0312", "1.5", "Passed")),
        *round_of(60, ("ErrorRatio", None, None, "Inconclusive"), requests=3, message="Needs 50 requests."),
    ]
    facts = facts_with(rollout(step=2, phase="Verifying", verdicts=verdicts))
    text = as_text(status_report(rollout_status(facts), NOW + timedelta(seconds=70)))

    assert (
        "METRIC      CANDIDATE  STABLE  BOUND  N    RESULT        AGO\n"
        "Contract    -          -       -      -    Inconclusive  70 s\n"
        "ErrorRatio  0.0001234  0       0.02   120  Passed        40 s\n"
        "LatencyP99  31.2 ms    1.5 s   20 ms  120  Passed        40 s\n"
        "ErrorRatio  -          -       0.02   3    Inconclusive  10 s\n"
        "\n"
        "Contract: Nobody could tell.\n"
        "ErrorRatio: Needs 50 requests.\n"
    ) in text


def test_contract_that_is_kept_makes_no_table() -> None:
    text = as_text(status_report(rollout_status(facts_with(rollout(verdicts=[CONTRACT]))), NOW))

    assert "Contract: Passed" in text
    assert "METRIC" not in text


def test_verdicts_show_whole_rounds_only() -> None:
    verdicts = [
        one
        for seconds in range(8)
        for one in round_of(seconds, *((metric, "0", "0", "Passed") for metric in "ABCD"))
    ]
    text = as_text(status_report(rollout_status(facts_with(rollout(verdicts=verdicts))), NOW))

    assert text.count("Passed  0 s") == 8


def test_verdicts_of_one_large_round_are_all_shown() -> None:
    verdicts = round_of(0, *((f"M{number}", "0", "0", "Passed") for number in range(12)))
    text = as_text(status_report(rollout_status(facts_with(rollout(verdicts=verdicts))), NOW))

    assert text.count("Passed  0 s") == 12


@pytest.mark.parametrize(
    ("verdicts", "line"),
    [
        ([], ""),
        ([CONTRACT], ""),
        (
            [{**CONTRACT, "result": "Failed", "message": "Output a is FP32."}],
            "Contract Failed (Output a is FP32.)",
        ),
        (
            round_of(0, ("ErrorRatio", "0.5", "0", "Failed"), ("Saturation", "2", None, "Passed")),
            "ErrorRatio Failed (0.5, stable 0, bound 0.02, n 120), Saturation Passed (2, bound 0.02, n 120)",
        ),
        (
            round_of(0, ("ErrorRatio", "0.5", "0", "Failed"), gate="RollbackWindow"),
            "RollbackWindow ErrorRatio Failed (0.5, stable 0, bound 0.02, n 120)",
        ),
        (
            round_of(0, ("Prometheus[0]", "12345.678", None, "Passed"), threshold=None),
            "Prometheus[0] Passed (12346, n 120)",
        ),
        (
            round_of(0, ("Prometheus", "NaN", "200m", "Inconclusive"), threshold=None, requests=None),
            "Prometheus Inconclusive (NaN, stable 0.2)",
        ),
    ],
)
def test_verdict_line_is_the_newest_round(verdicts: list[dict[str, Any]], line: str) -> None:
    assert verdict_line(verdicts) == line


def test_status_line_has_the_newest_verdicts_while_the_change_goes_on() -> None:
    verdicts = round_of(0, ("ErrorRatio", "0", "0", "Passed"))
    now = facts_with(rollout(verdicts=verdicts))
    over = facts_with(rollout(phase="Complete", verdicts=verdicts), stableRevision="tq6lf94mwp")

    assert "; ErrorRatio Passed (0, stable 0, bound 0.02, n 120); " in status_line(rollout_status(now))
    assert "ErrorRatio" not in status_line(rollout_status(over))


def test_trends_have_one_scale_for_both_revisions_and_gaps() -> None:
    verdicts = [
        *round_of(0, ("ErrorRatio", "0", "0.1", "Passed"), ("Saturation", "9", "9", "Passed")),
        *round_of(1, ("ErrorRatio", None, None, "Inconclusive")),
        *round_of(2, ("ErrorRatio", "0.2", "0", "Failed")),
    ]

    assert trends(verdicts, 40) == [
        ("error ratio", "candidate", "▁ █", "0.2"),
        ("error ratio", "stable", "▅ ▁", "0"),
    ]


def test_trends_are_of_errors_and_of_each_latency_that_is_measured() -> None:
    metrics = [one.type for one in Analysis().metrics] + ["LatencyP99", "Saturation"]
    verdicts = round_of(0, *((metric, "0.1", None, "Passed") for metric in metrics))

    assert [one.metric for one in trends(verdicts, 40)] == ["error ratio", "p99", "p95", "p50"]


def test_trend_without_any_number_is_not_drawn_as_zero() -> None:
    verdicts = [
        *round_of(0, ("LatencyP99", "0.01", None, "Passed"), ("ErrorRatio", None, None, "Inconclusive")),
        *round_of(1, ("LatencyP99", "0.01", "NaN", "Passed"), ("ErrorRatio", "NaN", None, "Inconclusive")),
    ]

    assert trends(verdicts, 40) == [("p99", "candidate", "██", "10 ms")]
    assert trends([], 40) == []


def test_trend_of_a_metric_with_two_bounds_is_one() -> None:
    verdicts = round_of(0, ("ErrorRatio[0]", "0.1", "0", "Passed"), ("ErrorRatio[2]", "0.1", "0", "Failed"))

    assert [one.line for one in trends(verdicts, 40)] == ["█", "▁"]


def test_trends_are_as_wide_as_there_is_room() -> None:
    verdicts = [
        one for second in range(60) for one in round_of(second, ("ErrorRatio", str(second), "0", "Passed"))
    ]

    assert [len(one.line) for one in trends(verdicts, 40)] == [40, 40]


@pytest.mark.parametrize(
    ("values", "top", "line"),
    [
        ([], 1.0, ""),
        ([0.0, 0.0], 0.0, "▁▁"),
        ([0.0, 1e-9, 0.5, 1.0], 1.0, "▁▂▅█"),
        ([-1.0, 2.0], 1.0, "▁█"),
    ],
)
def test_sparkline(values: list[float | None], top: float, line: str) -> None:
    assert sparkline(values, top) == line


def test_merge_remembers_what_the_status_forgot() -> None:
    old, both, new = (round_of(second, ("ErrorRatio", "0", "0", "Passed")) for second in range(3))

    assert merge([*old, *both], [*both, *new]) == (*old, *both, *new)
    assert merge((), []) == ()


def test_status_as_json_has_the_whole_rollout() -> None:
    change = rollout(verdicts=round_of(0, ("ErrorRatio", "0", "0", "Passed")), capacity={"revision": "a"})
    found = rollout_status(facts_with(change)).as_json()

    assert found["rollout"] == change
    assert "change" not in found
