"""Counting in buckets."""

from modelservice_runtime.generation.statistics import GenerationStatistics, Histogram
from modelservice_runtime.generation.values import Finish


def test_a_value_belongs_to_the_first_bound_that_holds_it() -> None:
    histogram = Histogram((1, 10))
    for value in (0, 1, 1.5, 10, 11):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.sum == 23.5


def test_every_reason_is_told_before_it_happens() -> None:
    assert set(GenerationStatistics().finished) == {*Finish, "error"} - {Finish.TOOL_CALLS}
