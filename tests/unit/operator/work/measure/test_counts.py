"""Pages of metrics as servers write them, and what was counted between two of them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from modelservice_operator.work.measure.counts import (
    BETWEEN_TOKENS,
    DURATIONS,
    FIRST_TOKENS,
    MAX_SERIES,
    NON_FINITE,
    SUCCESSES,
    Counts,
    Sample,
    parse_page,
)

PAGE = """\
# HELP nv_inference_request_success Requests answered.
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="spam",version="1"} 90.0
nv_inference_request_success{model="spam",version="2"} 10.0
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="spam",reason="REJECTED",version="1"} 3.0
nv_inference_request_failure{model="spam",reason="OTHER",version="1"} 1e+01
nv_inference_request_failure{model="spam",reason="OTHER",version="2"} 1.0
nv_inference_request_success_of_others 7
nv_inference_pending_request_count{model="spam",version="1"} 4.0
modelservice_request_duration_seconds_bucket{le="0.005",model="spam",version="1"} 60.0
modelservice_request_duration_seconds_bucket{le="+Inf",model="spam",version="1"} 114.0
modelservice_request_duration_seconds_count{model="spam",version="1"} 114.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="chat"} 3.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="chat"} 5.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="chat"} 90.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="code"} 9.0
vllm:time_per_output_token_seconds_bucket{engine="0",le="+Inf",model_name="chat"} 90.0
modelservice_nonfinite_responses_total{model="spam",version="1"} 2.0
process_start_time_seconds 1.79594155317e+09
"""


def test_parse_page_adds_up_the_versions_of_a_server() -> None:
    sample = parse_page(PAGE)

    assert sample == Sample(
        counts=Counts(
            successes=100,
            failures={"REJECTED": 3, "OTHER": 11},
            buckets={
                (DURATIONS, 0.005): 60,
                (DURATIONS, math.inf): 114,
                (FIRST_TOKENS, 0.5): 3,
                (FIRST_TOKENS, math.inf): 5,
                (BETWEEN_TOKENS, math.inf): 99,
            },
            non_finite=2,
        ),
        pending=4,
        started_at=1795941553.17,
    )
    assert sample.counts.requests == 114


def test_parse_page_of_an_older_server_tells_no_answers_with_nan() -> None:
    page = "".join(line for line in PAGE.splitlines(keepends=True) if NON_FINITE not in line)

    assert parse_page(page).counts.non_finite is None


@given(
    model=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    counts=st.lists(st.integers(0, 10**9), min_size=3, max_size=3),
    times=st.lists(st.floats(0, 100), max_size=5),
)
def test_parse_page_reads_what_the_clients_own_parser_reads(model, counts, times):
    registry = CollectorRegistry()
    failures = Counter("nv_inference_request_failure", "x", ["model", "reason"], registry=registry)
    for count, reason in zip(counts, ("REJECTED", "BACKEND", model), strict=True):
        failures.labels(model, reason).inc(count)
    Gauge("nv_inference_pending_request_count", "x", ["model"], registry=registry).labels(model).set(
        counts[0]
    )
    durations = Histogram("modelservice_request_duration_seconds", "x", ["model"], registry=registry)
    for seconds in times:
        durations.labels(model).observe(seconds)
    page = generate_latest(registry).decode().replace("failure_total", "failure") + f"{SUCCESSES} 5\n"
    sample = parse_page(page)

    read = [one for family in text_string_to_metric_families(page) for one in family.samples]
    buckets = {float(one.labels["le"]): one.value for one in read if one.name.endswith("_bucket")}
    by_reason = [one.value for one in read if one.name.startswith("nv_inference_request_failure")]
    assert sample.counts.histogram(DURATIONS) == buckets
    assert sum(sample.counts.failures.values()) == sum(by_reason)
    assert sample.pending == counts[0]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("", "does not tell nv_inference_request_success"),
        ("<html>nv_inference_request_success 5</html>", "does not tell"),
        (f"{SUCCESSES} NaN", "is NaN"),
        (f"{SUCCESSES} -1", "is -1"),
        (f"{SUCCESSES} +Inf", "is \\+Inf"),
        (f"{SUCCESSES} 1e308", "is 1e308"),
        (f"{SUCCESSES}{{model=}} 1", "not in Prometheus' text format"),
        (f"{SUCCESSES} many", "could not convert"),
        (f"{SUCCESSES} 1\n" * (MAX_SERIES + 1), "more than 5000 series"),
        (f"{SUCCESSES} 1\nmodelservice_request_duration_seconds_bucket 1", "could not convert"),
    ],
)
def test_parse_page_of_something_else_is_refused(page, message):
    with pytest.raises(ValueError, match=message):
        parse_page(page)


steps = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.booleans()), min_size=1, max_size=20)


@given(steps)
def test_since_adds_up_to_all_that_was_counted_whatever_restarts(moves):
    """Each move: so many successes and failures more; before it the server may have started again."""
    successes = failures = start = 0
    samples = [make_sample(0, 0, start)]
    for good, bad, restarts in moves:
        if restarts:
            successes, failures, start = 0, 0, start + 1
        successes, failures = successes + good, failures + bad
        samples.append(make_sample(successes, failures, start))
    total = Counts(non_finite=0)
    for before, after in pairwise(samples):
        total = total.plus(after.since(before))

    assert total.successes == sum(good for good, _, _ in moves)
    assert total.failures.get("BACKEND", 0) == sum(bad for _, bad, _ in moves)


def make_sample(successes: int, failures: int, start: int | None) -> Sample:
    counts = Counts(successes=successes, failures={"BACKEND": failures}, non_finite=0)
    return Sample(counts=counts, pending=0, started_at=start)


def test_since_a_number_that_fell_means_that_all_began_again():
    """Failures rose beside it: what was counted since is 5 of them, not 3."""
    assert make_sample(10, 5, None).since(make_sample(100, 2, None)).failures == {"BACKEND": 5}


def test_plus_of_a_server_that_does_not_tell_is_not_told():
    both = Counts(non_finite=3).plus(Counts())

    assert both.non_finite is None
