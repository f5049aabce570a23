"""One signal's proposal against the text of the HPA's algorithm, read anew in whole thousandths."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelservice_autoscaler.algorithm.replicas import propose_replicas
from modelservice_autoscaler.algorithm.signals import Usage
from modelservice_autoscaler.algorithm.spec import Signal, Tolerance

TENTH = Fraction(1, 10)
BY_DEFAULT = Tolerance()
MILLI = st.integers(0, 30_000)


def is_within(ratio: Fraction, up: Fraction = TENTH, down: Fraction = TENTH) -> bool:
    return 1 - down <= ratio <= 1 + up


def propose_as_written(
    values: list[int], missing: int, unready: int, target: int, used_up: int, replicas: int
) -> int:
    """`calcPlainMetricReplicas`: a dictionary of values by pod, filled up and averaged again."""
    metrics = dict(enumerate(map(Fraction, values)))
    ratio = sum(metrics.values()) / len(metrics) / target
    scale_up_with_unready = unready > 0 and ratio > 1
    if not scale_up_with_unready and missing == 0:
        return replicas if is_within(ratio) else ceil(ratio * len(values))
    for pod in range(missing):
        if ratio < 1:
            metrics[1000 + pod] = Fraction(used_up)
        elif ratio > 1:
            metrics[1000 + pod] = Fraction(0)
    if scale_up_with_unready:
        metrics |= {2000 + pod: Fraction(0) for pod in range(unready)}
    again = sum(metrics.values()) / len(metrics) / target
    if is_within(again) or (ratio < 1 < again) or (again < 1 < ratio):
        return replicas
    proposed = ceil(again * len(metrics))
    if (again < 1 and proposed > replicas) or (again > 1 and proposed < replicas):
        return replicas
    return proposed


@given(
    values=st.lists(MILLI, min_size=1, max_size=12),
    missing=st.integers(0, 6),
    unready=st.integers(0, 6),
    target=st.integers(5_000, 20_000),
    replicas=st.integers(1, 24),
)
@example(values=[11_000], missing=0, unready=0, target=10_000, replicas=1)
@example(values=[9_000], missing=0, unready=0, target=10_000, replicas=4)
@example(values=[20_000] * 3, missing=0, unready=1, target=10_000, replicas=4)
@example(values=[2_000] * 2, missing=2, unready=0, target=10_000, replicas=4)
@example(values=[9_500], missing=0, unready=2, target=10_000, replicas=3)
@example(values=[10_000, 12_001], missing=0, unready=0, target=10_000, replicas=2)
def test_proposal_of_amounts_is_that_of_the_text(
    values: list[int], missing: int, unready: int, target: int, replicas: int
) -> None:
    usage = Usage(sum(values) / 1000, len(values), missing)
    proposed = propose_replicas(Signal("Concurrency", target / 1000), usage, unready, replicas, BY_DEFAULT)
    assert proposed == propose_as_written(values, missing, unready, target, target, replicas)


@given(
    values=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    missing=st.integers(0, 6),
    target=st.integers(1, 300),
    replicas=st.integers(1, 24),
)
@example(values=[10, 10], missing=1, target=50, replicas=3)
@example(values=[10], missing=1, target=150, replicas=2)
def test_missing_pod_uses_at_least_its_whole_request(
    values: list[int], missing: int, target: int, replicas: int
) -> None:
    signal = Signal("CPU", float(target), percent=True, whole=1.0)
    proposed = propose_replicas(
        signal, Usage(float(sum(values)), len(values), missing), 0, replicas, BY_DEFAULT
    )
    assert proposed == propose_as_written(values, missing, 0, target, max(100, target), replicas)


@given(value=MILLI, target=st.integers(1, 20_000), ready=st.integers(1, 20), replicas=st.integers(1, 24))
def test_proposal_of_a_value_multiplies_the_ready_pods(
    value: int, target: int, ready: int, replicas: int
) -> None:
    ratio = Fraction(value, target)
    expected = replicas if is_within(ratio) else ceil(ratio * ready)
    if ratio > 1:
        expected = max(expected, replicas)
    usage = Usage(value / 1000, ready, 0)
    assert propose_replicas(Signal("QueueTime", target / 1000), usage, 3, replicas, BY_DEFAULT) == expected


@pytest.mark.parametrize(
    ("value", "proposed"),
    [(8.8, 4), (8.81, 5), (7.2, 4), (7.19, 4), (5.99, 3), (6.01, 4), (16.0, 8), (0.0, 0)],
)
def test_proposal_begins_beyond_a_tenth_and_is_rounded_up(value: float, proposed: int) -> None:
    usage = Usage(4 * value, 4, 0)
    assert propose_replicas(Signal("Concurrency", 8.0), usage, 0, 4, BY_DEFAULT) == proposed


def test_noise_of_sums_adds_no_pod() -> None:
    usage = Usage(sum([0.1] * 480), 3, 0)
    assert usage.total > 48.0 - 1e-9
    assert propose_replicas(Signal("Concurrency", 8.0), Usage(48.00000000001, 3, 0), 0, 3, BY_DEFAULT) == 6


def test_no_request_waits_so_the_queue_asks_for_none() -> None:
    assert propose_replicas(Signal("QueueTime", 0.05), Usage(0.0, 4, 0), 0, 4, BY_DEFAULT) == 0
    assert propose_replicas(Signal("QueueTime", 0.05), Usage(0.02, 2, 2), 0, 4, BY_DEFAULT) == 2


@given(
    value=MILLI,
    target=st.integers(1_000, 20_000),
    replicas=st.integers(1, 24),
    up=st.integers(0, 2_000),
    down=st.integers(0, 2_000),
)
@example(value=10_499, target=10_000, replicas=1, up=50, down=0)
@example(value=10_501, target=10_000, replicas=1, up=50, down=0)
@example(value=9_999, target=10_000, replicas=24, up=500, down=0)
@example(value=10_000, target=10_000, replicas=3, up=0, down=0)
def test_each_direction_has_its_own_tolerance(
    value: int, target: int, replicas: int, up: int, down: int
) -> None:
    ratio, wished = Fraction(value, target), (Fraction(up, 1000), Fraction(down, 1000))
    expected = replicas if is_within(ratio, *wished) else ceil(ratio * replicas)
    tolerance = Tolerance(up / 1000, down / 1000)
    each = Usage(value / 1000 * replicas, replicas, 0)
    assert propose_replicas(Signal("Concurrency", target / 1000), each, 0, replicas, tolerance) == expected
    whole = Usage(value / 1000, replicas, 0)
    assert propose_replicas(Signal("QueueTime", target / 1000), whole, 0, replicas, tolerance) == expected
