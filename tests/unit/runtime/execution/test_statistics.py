"""The bounds of the histogram of durations: they tell twice as slow from a step over one of them."""

from itertools import pairwise

from modelservice_runtime.execution.statistics import DURATION_BUCKETS_SECONDS, ModelStatistics, Timing

BOUNDS = DURATION_BUCKETS_SECONDS


def test_bounds_rise_by_less_than_half() -> None:
    assert all(one < two < one * 1.5 for one, two in pairwise(BOUNDS))


def test_twice_as_slow_is_seen_whatever_the_times_are() -> None:
    for lower, upper in pairwise(BOUNDS):
        if upper <= 10.0:
            slower = next(bound for bound in BOUNDS if bound > 2 * lower)
            assert slower >= 1.74 * upper, upper


def test_bounds_that_dashboards_know_are_kept() -> None:
    known = {
        0.0001,
        0.00025,
        0.0005,
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1,
        2.5,
        5,
        10,
        30,
    }

    assert known <= set(BOUNDS)


def test_request_counts_in_the_bucket_of_its_bound() -> None:
    statistics = ModelStatistics()
    statistics.record_success(5, 1_000_005, Timing())
    statistics.record_failure("OTHER", 5, 1_000_006)

    counted = dict(zip((*BOUNDS, None), statistics.duration_counts, strict=True))
    assert {bound: count for bound, count in counted.items() if count} == {0.001: 1, 0.0014: 1}
