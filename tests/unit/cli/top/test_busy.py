"""What two looks at a pod tell, and what several pods together do."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_autoscaler.algorithm.load import GpuLoad, Load
from modelservice_cli.top.busy import Busy, Look, busy_between, busy_together
from modelservice_operator.work.measure.counts import DURATIONS, Counts

BOUNDS = (0.01, 0.1, 1.0)
BUCKETS = st.lists(st.integers(0, 100), min_size=4, max_size=4)


def load(uptime_seconds: float, **fields: Any) -> Load:
    nothing: dict[str, Any] = {
        "running": 0,
        "waiting": 0,
        "in_flight_seconds": 0.0,
        "requests": 0,
        "cpu_seconds": 0.0,
        "memory_bytes": 0,
        "queue_bounds_seconds": BOUNDS,
        "queue_counts": (0, 0, 0, 0),
    }
    return Load(uptime_seconds=uptime_seconds, **{**nothing, **fields})


BUCKETS = tuple((DURATIONS, bound) for bound in (0.1, 1.0, math.inf))


def counts(*buckets: float) -> Counts:
    """Cumulative, up to a tenth of a second, a second, and beyond."""
    return Counts(successes=buckets[-1], buckets=dict(zip(BUCKETS, buckets, strict=True)))


def between(before: Load, now: Load, one: Counts | None = None, two: Counts | None = None) -> Busy:
    found = busy_between(Look(before, one or Counts()), Look(now, two or Counts()))
    assert found is not None
    return found


def test_counters_become_means_over_the_time_between() -> None:
    before = load(100, in_flight_seconds=50, requests=10, cpu_seconds=7)
    now = load(104, in_flight_seconds=74, requests=30, cpu_seconds=9, running=2, waiting=3, memory_bytes=5)

    busy = between(before, now)

    assert (busy.concurrency, busy.requests_per_second, busy.cpu_cores) == (6, 5, 0.5)
    assert (busy.running, busy.waiting, busy.memory_bytes) == (2, 3, 5)


def test_quantiles_are_those_of_the_requests_between() -> None:
    before = load(1, queue_counts=(1000, 0, 0, 0))
    now = load(2, queue_counts=(1000, 0, 20, 0))

    busy = between(before, now, counts(500, 500, 500), counts(500, 600, 600))

    assert busy.queue_p95_seconds == pytest.approx(0.1 + 0.95 * 0.9)
    assert busy.p99_seconds == pytest.approx(0.1 + 0.99 * 0.9)


def test_without_requests_there_is_no_quantile() -> None:
    busy = between(load(1), load(2), counts(5, 5, 5), counts(5, 5, 5))
    assert (busy.p99_seconds, busy.queue_p95_seconds) == (None, None)
    assert (busy.concurrency, busy.requests_per_second) == (0, 0)


@pytest.mark.parametrize("uptime_seconds", [3.0, 100.0])
def test_server_that_started_again_is_looked_at_anew(uptime_seconds: float) -> None:
    before, now = Look(load(100, requests=9), Counts()), Look(load(uptime_seconds), Counts())
    assert busy_between(before, now) is None


def test_other_bounds_after_an_upgrade_say_nothing_of_waits() -> None:
    now = load(2, queue_bounds_seconds=(0.5,), queue_counts=(7, 7))
    assert between(load(1), now).queue_p95_seconds is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 50), st.floats(0, 1e6), st.lists(st.integers(0, 100), min_size=4, max_size=4)
        ),
        max_size=6,
    )
)
def test_pods_together_are_the_sum_of_each(pods: list[tuple[int, float, list[int]]]) -> None:
    found = [
        between(
            load(1),
            load(2, running=running, in_flight_seconds=seconds, queue_counts=tuple(waits)),
            two=counts(*(float(sum(waits[: end + 1])) for end in range(3))),
        )
        for running, seconds, waits in pods
    ]
    together = busy_together(found)
    if together is None:
        assert not pods
        return
    assert together.running == sum(running for running, _, _ in pods)
    assert together.concurrency == pytest.approx(math.fsum(seconds for _, seconds, _ in pods))
    assert sum(together.waits.values()) == sum(sum(waits) for _, _, waits in pods)
    assert together.counts.requests == sum(sum(waits[:3]) for _, _, waits in pods)


def test_gpus_that_tell_nothing_are_left_out_of_the_mean() -> None:
    busy = between(load(1), load(2, gpus=(GpuLoad(0.5, 10, 100), GpuLoad(None, 30, 100))))
    assert (busy.gpu_utilization, busy.gpu_memory) == (0.5, 0.2)
    assert replace(busy, gpus=()).gpu_utilization is None
    assert replace(busy, gpus=()).gpu_memory is None
