"""What becomes of a measurement: every bound, what may be missing, and what is remembered of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.api import Analysis, AnalysisMetric
from modelservice_operator.api.status import GateVerdict
from modelservice_operator.decide.gates.analysis import (
    MOST_REQUESTS,
    MetricVerdict,
    judge,
    metric_name,
    outcome,
    thresholds_from,
    write_verdict,
)
from modelservice_operator.facts.measured import Measurement, Window

NOW = datetime(2026, 1, 1, 12, 30, 5, tzinfo=UTC)
ENOUGH = 100


def make_analysis(*metrics: dict[str, Any], min_requests: int = 50) -> Analysis:
    return Analysis(metrics=[AnalysisMetric(**one) for one in metrics], min_requests=min_requests)


def make_measurement(
    value: float | None, stable: float | None = None, *, requests: int = ENOUGH, beside: int = ENOUGH
) -> Measurement:
    return Measurement(
        run="r",
        ended_at=NOW,
        candidate=Window(requests=requests, values={"0": value}),
        stable=Window(requests=beside, values={"0": stable}),
    )


def judge_one(
    bounds: dict[str, str], measurement: Measurement, thresholds: dict[str, Decimal] | None = None
) -> MetricVerdict:
    (verdict,) = judge(make_analysis({"type": "ErrorRatio", **bounds}), measurement, thresholds)
    return verdict


MAX, INCREASE, RATIO = {"max": "0.05"}, {"max_increase": "0.01"}, {"max_ratio": "1.5"}


@pytest.mark.parametrize(
    ("samples", "beside", "result", "message"),
    [
        (49, 50, "Inconclusive", "the new revision has 49 such times, fewer than minRequests (50)"),
        (50, 49, "Inconclusive", "the old revision has 49 such times, fewer than minRequests (50)"),
        (50, 50, "Failed", "1 is more than maxRatio 1.5 of the old revision's 0.5"),
    ],
)
def test_judge_wants_enough_of_what_a_value_is_made_of(samples, beside, result, message):
    analysis = make_analysis({"type": "TimeToFirstTokenP95", "max_ratio": "1.5"})
    found = make_measurement(1.0, 0.5)
    windows = (found.candidate, found.stable)
    candidate, stable = (
        msgspec.structs.replace(window, samples={"0": count})
        for window, count in zip(windows, (samples, beside), strict=True)
    )
    (verdict,) = judge(analysis, msgspec.structs.replace(found, candidate=candidate, stable=stable))
    assert (verdict.result, verdict.message) == (result, message)


@pytest.mark.parametrize(
    ("bounds", "value", "stable", "result", "threshold"),
    [
        (MAX, 0.04, None, "Passed", "0.05"),
        (MAX, 0.05, None, "Passed", "0.05"),
        (MAX, 0.051, None, "Failed", "0.05"),
        (INCREASE, 0.07, 0.06, "Passed", "0.07"),  # the sum of the floats is less
        (INCREASE, 0.0301, 0.02, "Failed", "0.03"),
        (INCREASE, 0.0, 0.0, "Passed", "0.01"),
        (INCREASE, 0.5, None, "Inconclusive", None),
        (RATIO, 0.3, 0.2, "Passed", "0.3"),
        (RATIO, 0.31, 0.2, "Failed", "0.3"),
        (RATIO, 0.0, 0.0, "Passed", None),
        (RATIO, 0.1, 0.0, "Inconclusive", None),
        (RATIO, -2.0, -2.0, "Inconclusive", None),
        (MAX | RATIO, 0.1, None, "Failed", "0.05"),
        (MAX | RATIO, 0.01, None, "Inconclusive", "0.05"),
        (MAX | RATIO, 0.06, 0.0, "Failed", "0.05"),
        (INCREASE | RATIO, 0.0151, 0.01, "Failed", "0.015"),
        (INCREASE | RATIO, 0.014, 0.01, "Passed", "0.015"),
        (MAX | INCREASE | RATIO, 0.045, 0.04, "Passed", "0.05"),
    ],
)
def test_judge_compares_with_every_bound_and_names_the_tightest(bounds, value, stable, result, threshold):
    verdict = judge_one(bounds, make_measurement(value, stable))

    assert verdict.result == result
    assert verdict.threshold == (Decimal(threshold) if threshold else None)
    assert bool(verdict.message) == (result != "Passed")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_judge_a_value_that_is_no_number_says_nothing(value):
    assert judge_one(MAX, make_measurement(value, 0.0)).result == "Inconclusive"
    assert judge_one(RATIO, make_measurement(0.01, value)).result == "Inconclusive"


@pytest.mark.parametrize(
    ("measurement", "bounds", "message"),
    [
        (make_measurement(1.0, requests=49), MAX, "the new revision had 49 requests, fewer than"),
        (make_measurement(0.0, requests=49), MAX, "the new revision had 49 requests, fewer than"),
        (make_measurement(1.0, 0.0, beside=49), INCREASE, "the old revision had 49 requests, fewer than"),
        (Measurement(run="r", ended_at=NOW, problem="no pod is ready"), MAX, "no pod is ready"),
        (
            Measurement(run="r", ended_at=NOW, candidate=Window(requests=ENOUGH, values={"0": 1.0})),
            RATIO,
            "nothing could be read of the old revision",
        ),
        (
            Measurement(
                run="r", ended_at=NOW, candidate=Window(requests=ENOUGH), problems={"0": "it is older"}
            ),
            MAX,
            "it is older",
        ),
    ],
)
def test_judge_says_what_is_missing(measurement, bounds, message):
    verdict = judge_one(bounds, measurement)

    assert verdict.result == "Inconclusive"
    assert verdict.message.startswith(message)


def test_judge_bound_of_the_new_revision_alone_needs_nothing_of_the_old_one():
    without = Measurement(run="r", ended_at=NOW, candidate=Window(requests=ENOUGH, values={"0": 0.01}))

    assert judge_one(MAX, without).result == "Passed"


def test_judge_as_many_requests_as_are_asked_for_are_enough():
    assert judge_one(INCREASE, make_measurement(0.0, 0.0, requests=50, beside=50)).result == "Passed"


def test_judge_failure_names_value_and_bound():
    verdict = judge_one(INCREASE, make_measurement(0.0523456789, 0.002))

    assert verdict.message == "0.0523457 is more than maxIncrease 0.01 above the old revision's 0.002"


@pytest.mark.parametrize(
    ("lowest", "bounds", "result"),
    [
        (0.049, MAX, "Inconclusive"),
        (0.05, MAX, "Inconclusive"),
        (0.0501, MAX, "Failed"),
        (0.049, {"max": "0.2"}, "Passed"),
        (0.049, MAX | INCREASE, "Failed"),  # 0.03 is crossed for certain
        (0.025, MAX | INCREASE, "Inconclusive"),
    ],
)
def test_judge_what_may_be_chance_neither_passes_nor_fails(lowest, bounds, result):
    candidate = Window(requests=ENOUGH, values={"0": 0.06}, lowest={"0": lowest})
    stable = Window(requests=ENOUGH, values={"0": 0.02})
    measurement = Measurement(run="r", ended_at=NOW, candidate=candidate, stable=stable)
    verdict = judge_one(bounds, measurement)

    assert verdict.result == result
    assert (f"above {lowest}" in verdict.message) == (result == "Inconclusive")


@pytest.mark.parametrize(
    ("value", "stable", "result"),
    [
        (0.0009, 0.0001, "Passed"),
        (0.0012, 0.0001, "Failed"),
        (0.0041, 0.002, "Failed"),
        (0.003, 0.002, "Passed"),
    ],
)
def test_judge_no_ratio_makes_a_latency_worse_by_less_than_a_millisecond(value, stable, result):
    analysis = make_analysis({"type": "LatencyP99", **RATIO})
    (verdict,) = judge(analysis, make_measurement(value, stable))

    assert verdict.result == result


@given(value=st.floats(0, 1), stable=st.floats(0, 1), requests=st.integers(0, 99))
def test_judge_too_few_requests_neither_pass_nor_fail(value, stable, requests):
    everything = make_analysis({"type": "ErrorRatio", **MAX, **INCREASE, **RATIO}, min_requests=100)
    (verdict,) = judge(everything, make_measurement(value, stable, requests=requests))

    assert verdict.result == "Inconclusive"


@given(value=st.floats(0, 1), stable=st.floats(0.001, 1))
def test_judge_more_bounds_are_never_kinder(value, stable):
    found = {
        name: judge_one(bounds, make_measurement(value, stable)).result
        for name, bounds in {"one": INCREASE, "other": RATIO, "both": INCREASE | RATIO}.items()
    }

    assert (found["both"] == "Passed") == (found["one"] == found["other"] == "Passed")


def test_judge_after_the_change_goes_by_what_was_allowed_before():
    alone = make_measurement(0.02)
    thresholds = {"0": Decimal("0.0123")}

    assert judge_one(RATIO, alone, thresholds).result == "Failed"
    assert judge_one(RATIO, make_measurement(0.0123), thresholds).result == "Passed"
    assert judge_one(RATIO, make_measurement(0.0123, requests=1), thresholds).result == "Inconclusive"
    assert judge_one(RATIO, alone, {}).result == "Inconclusive"
    assert judge_one(MAX | RATIO, alone, {}).result == "Passed"
    assert judge_one(MAX | RATIO, make_measurement(0.06), {}).result == "Failed"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (["Passed", "Passed"], "Passed"),
        (["Passed", "Inconclusive"], "Inconclusive"),
        (["Inconclusive", "Failed", "Passed"], "Failed"),
    ],
)
def test_outcome_is_the_worst(results, expected):
    assert outcome(MetricVerdict(metric="ErrorRatio", result=one) for one in results) == expected


def test_metric_name_tells_metrics_of_one_type_apart():
    analysis = make_analysis(
        {"type": "ErrorRatio", **MAX},
        {"type": "LatencyP99", **RATIO},
        {"type": "LatencyP99", **MAX},
        {"type": "Prometheus", "query": "1", **MAX},
    )
    names = [metric_name(analysis, index) for index in range(4)]

    assert names == ["ErrorRatio", "LatencyP99[1]", "LatencyP99[2]", "Prometheus[3]"]


def test_write_verdict_gives_what_the_status_takes():
    verdict = judge_one(RATIO, make_measurement(0.0312345678, 0.02))
    entry = write_verdict("Analysis", verdict, NOW)

    assert entry == {
        "gate": "Analysis",
        "metric": "ErrorRatio",
        "result": "Failed",
        "value": "0.0312346",
        "stable": "0.02",
        "threshold": "0.03",
        "requests": ENOUGH,
        "time": "2026-01-01T12:30:05Z",
        "message": "0.0312346 is more than maxRatio 1.5 of the old revision's 0.02",
    }
    GateVerdict.model_validate(entry)


def test_write_verdict_leaves_out_what_is_not_known_and_what_is_too_long():
    verdict = MetricVerdict(metric="ErrorRatio", result="Inconclusive", message="x" * 2000)
    entry = write_verdict("RollbackWindow", verdict, NOW)

    assert set(entry) == {"gate", "metric", "result", "time", "message"}
    GateVerdict.model_validate(entry)


def test_write_verdict_of_more_requests_than_a_status_can_hold_is_one_that_it_takes():
    verdict = judge_one(MAX, make_measurement(0.001, 0.001, requests=10**30))
    entry = write_verdict("Analysis", verdict, NOW)

    assert entry["requests"] == MOST_REQUESTS
    GateVerdict.model_validate(entry)


def test_thresholds_from_takes_the_newest_bound_of_each_metric():
    analysis = make_analysis({"type": "ErrorRatio", **MAX}, {"type": "LatencyP99", **RATIO})
    verdicts = [
        {"gate": "Analysis", "metric": "ErrorRatio", "threshold": "0.01"},
        {"gate": "Analysis", "metric": "LatencyP99", "threshold": "1e-05"},
        {"gate": "Analysis", "metric": "ErrorRatio", "threshold": "0.02"},
        {"gate": "Analysis", "metric": "ErrorRatio"},
        {"gate": "Analysis", "metric": "ErrorRatio", "threshold": "nan"},
        {"gate": "RollbackWindow", "metric": "LatencyP99", "threshold": "7"},
        {"gate": "Contract", "threshold": "7"},
        {"gate": "Analysis", "metric": "Saturation", "threshold": "7"},
    ]

    assert thresholds_from(verdicts, analysis) == {"0": Decimal("0.02"), "1": Decimal("0.00001")}


def test_thresholds_from_a_ratio_of_nothing_remembers_no_bound():
    analysis = make_analysis({"type": "ErrorRatio", **RATIO})
    verdicts = [write_verdict("Analysis", one, NOW) for one in judge(analysis, make_measurement(0.0, 0.0))]

    assert verdicts[0]["result"] == "Passed"
    assert thresholds_from(verdicts, analysis) == {}
