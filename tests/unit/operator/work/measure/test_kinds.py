"""The types of metrics: what each makes of counts."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.api.spec.analysis import MetricType
from modelservice_operator.work.measure.counts import BETWEEN_TOKENS, DURATIONS, FIRST_TOKENS, Counts
from modelservice_operator.work.measure.kinds import KINDS, Totals, lowest_ratio, lowest_share, quantile

INF = math.inf
BOUNDS = (0.1, 0.2, 0.5, 1.0)


def make_buckets(*counts: float) -> dict[float, float]:
    """Cumulative, by BOUNDS and the infinite one."""
    return dict(zip((*BOUNDS, INF), counts, strict=True))


def named(histogram: str, buckets: dict[float, float]) -> dict[tuple[str, float], float]:
    """As a part of what a server counts."""
    return {(histogram, bound): count for bound, count in buckets.items()}


def test_every_type_of_the_api_is_known_but_the_one_with_a_query_of_its_own() -> None:
    assert set(KINDS) == set(get_args(MetricType)) - {"Prometheus"}


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, make_buckets(100, 100, 100, 100, 100), 0.05),
        (0.99, make_buckets(0, 100, 100, 100, 100), 0.199),
        (0.9, make_buckets(80, 90, 100, 100, 100), 0.2),
        (0.95, make_buckets(0, 0, 90, 100, 100), 0.75),
        (0.99, make_buckets(0, 0, 0, 0, 100), 1.0),
        (0.99, make_buckets(0, 0, 0, 98, 100), 1.0),
        (0.7, make_buckets(0, 60, 50, 100, 100), 0.625),  # a count that falls is taken as the one before
        (0.5, make_buckets(0, 0, 0, 0, 0), None),
        (0.5, {}, None),
        (0.5, {INF: 5.0}, None),
        (0.5, {0.1: 5.0, 0.2: 6.0}, None),
    ],
)
def test_quantile_is_that_of_prometheus(share, buckets, expected):
    assert quantile(share, buckets) == (None if expected is None else pytest.approx(expected))


@given(
    share=st.floats(0.01, 0.99),
    times=st.lists(st.floats(0, 0.999), min_size=1, max_size=50),
)
def test_quantile_lies_in_the_bucket_of_the_time_itself(share, times):
    counts = [sum(time <= bound for time in times) for bound in (*BOUNDS, INF)]
    found = quantile(share, make_buckets(*counts))
    exact = sorted(times)[math.ceil(share * len(times) - 1e-9) - 1]

    assert found is not None
    upper = next(bound for bound in BOUNDS if exact <= bound)
    lower = max((bound for bound in (0.0, *BOUNDS) if bound < upper), default=0.0)
    assert lower <= found <= upper * (1 + 1e-9)


def read(kind: str, **counts: object) -> float | None:
    return KINDS[kind].read(Totals(counts=Counts(**counts), pending=2.5))  # type: ignore[arg-type]


def test_error_ratio_counts_faults_of_the_server_of_all_requests():
    failures = {"REJECTED": 3, "BACKEND": 2, "OTHER": 20, "CANCELED": 10}

    assert read("ErrorRatio", successes=65, failures=failures) == 0.05
    assert read("ErrorRatio", failures={"OTHER": 5}) == 0
    assert read("ErrorRatio") is None


def test_non_finite_ratio_is_of_answers_and_none_where_a_server_does_not_tell():
    assert read("NonFiniteRatio", successes=50, failures={"OTHER": 50}, non_finite=1) == 0.02
    assert read("NonFiniteRatio", successes=50) is None
    assert read("NonFiniteRatio", non_finite=0) is None
    older = Totals(counts=Counts(successes=50), pending=0)
    assert "older" in KINDS["NonFiniteRatio"].missing(older)


@given(requests=st.integers(1, 10_000), data=st.data())
def test_lowest_ratio_is_where_what_was_seen_is_at_the_edge_of_chance(requests, data):
    """The definition of Wilson's interval: the ratio lies so many standard deviations above it."""
    ratio = data.draw(st.integers(1, requests)) / requests
    lowest = lowest_ratio(ratio, requests)

    assert 0 < lowest < ratio
    assert ratio - lowest == pytest.approx(1.645 * math.sqrt(lowest * (1 - lowest) / requests), rel=1e-6)


def test_lowest_ratio_of_nothing_is_nothing_and_of_more_than_all_that_of_all():
    assert lowest_ratio(0, 50) == 0
    assert lowest_ratio(1.2, 50) == lowest_ratio(1.0, 50)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300, exclude_min=True))
def test_lowest_ratio_of_whatever_a_prometheus_says_is_a_ratio(ratio, requests):
    assert 0 <= lowest_ratio(ratio, requests) <= 1


@given(share=st.sampled_from([0.95, 0.99]), requests=st.integers(1, 10_000))
def test_lowest_share_is_below_and_comes_nearer_with_more_requests(share, requests):
    assert 0 < lowest_share(share, requests) < share
    assert lowest_share(share, requests) <= lowest_share(share, requests * 2)


def test_lowest_of_ratios_and_quantiles_but_of_nothing_else():
    buckets = make_buckets(0, 90, 97, 100, 100)
    tokens = make_buckets(2000, 2900, 2970, 3000, 3000)
    counts = Counts(
        successes=95,
        failures={"BACKEND": 5},
        buckets=named(DURATIONS, buckets) | named(FIRST_TOKENS, buckets) | named(BETWEEN_TOKENS, tokens),
        non_finite=2,
    )
    totals = Totals(counts=counts, pending=3)
    found = {name: kind.lowest(totals, kind.read(totals) or 0) for name, kind in KINDS.items()}

    assert found["Saturation"] is None
    assert found["ErrorRatio"] == lowest_ratio(0.05, 100)
    assert found["NonFiniteRatio"] == lowest_ratio(2 / 95, 100)
    assert found["LatencyP95"] == quantile(lowest_share(0.95, 100), buckets)
    assert found["LatencyP95"] == found["TimeToFirstTokenP95"] < read("LatencyP95", buckets=counts.buckets)
    # Thirty times of a text tell no more than one: they come together.
    assert found["InterTokenLatencyP95"] == quantile(lowest_share(0.95, 100), tokens)
    samples = {name: kind.samples(totals) for name, kind in KINDS.items()}
    assert samples["LatencyP95"] is samples["ErrorRatio"] is None
    assert (samples["TimeToFirstTokenP50"], samples["InterTokenLatencyP99"]) == (100, 3000)


def test_times_of_tokens_are_missing_where_no_server_tells_them_or_none_were_made():
    kind = KINDS["TimeToFirstTokenP95"]
    older = Totals(counts=Counts(successes=50), pending=0)
    assert (kind.read(older), kind.samples(older)) == (None, None)
    assert kind.missing(older) == "its servers do not tell vllm:time_to_first_token_seconds"
    none = Totals(counts=Counts(buckets=named(FIRST_TOKENS, make_buckets(0, 0, 0, 0, 0))), pending=0)
    assert (kind.read(none), kind.samples(none)) == (None, 0)


def test_saturation_is_what_waits_in_a_pod():
    assert read("Saturation") == 2.5


@pytest.mark.parametrize(
    ("kind", "histogram"),
    [
        ("Latency", DURATIONS),
        ("TimeToFirstToken", FIRST_TOKENS),
        ("InterTokenLatency", BETWEEN_TOKENS),
    ],
)
def test_times_are_quantiles_of_their_own_histogram(kind, histogram):
    others = {
        key: count
        for other in {DURATIONS, FIRST_TOKENS, BETWEEN_TOKENS} - {histogram}
        for key, count in named(other, make_buckets(7, 7, 7, 7, 9)).items()
    }
    buckets = others | named(histogram, make_buckets(0, 90, 97, 100, 100))

    assert read(f"{kind}P50", buckets=buckets) == pytest.approx(0.1 + 0.1 * 50 / 90)
    assert read(f"{kind}P95", buckets=buckets) == pytest.approx(0.2 + 0.3 * 5 / 7)
    assert read(f"{kind}P99", buckets=buckets) == pytest.approx(0.5 + 0.5 * 2 / 3)
