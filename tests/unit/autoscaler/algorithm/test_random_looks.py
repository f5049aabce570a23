"""Whatever pods say, and whenever: what must hold of every decision."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.autoscaler.algorithm.playing import CONCURRENCY, FREE, make_spec

from modelservice_autoscaler.algorithm.decide import decide
from modelservice_autoscaler.algorithm.decision import Look
from modelservice_autoscaler.algorithm.load import GpuLoad, Load, Sample, TextLoad
from modelservice_autoscaler.algorithm.spec import DEFAULT_DOWN, Signal
from modelservice_autoscaler.algorithm.state import EMPTY, scaled

AMOUNT = st.sampled_from([0.0, 0.5, 1.0, 7.0, 8.0, 100.0, 1e6, 1e18])
COUNT = st.sampled_from([0, 1, 8, 1000, 2**53])
GPU = st.builds(GpuLoad, st.none() | st.sampled_from([0.0, 0.5, 1.0]), st.none() | COUNT, st.none() | COUNT)
TEXTS = st.builds(TextLoad, AMOUNT, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1, 16, 2**31]))
LOADS = st.builds(
    Load,
    uptime_seconds=AMOUNT,
    running=COUNT,
    waiting=COUNT,
    in_flight_seconds=AMOUNT,
    requests=AMOUNT,
    cpu_seconds=AMOUNT,
    memory_bytes=AMOUNT,
    queue_bounds_seconds=st.just((0.1, 1.0)),
    queue_counts=st.just(()) | st.tuples(COUNT, COUNT, COUNT),
    gpus=st.lists(GPU, max_size=2).map(tuple),
    texts=st.none() | TEXTS,
)
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 2.0, 6.0, 29.0, 400.0]),
        st.dictionaries(st.sampled_from("abcd"), st.none() | LOADS, max_size=4),
    ),
    min_size=1,
    max_size=12,
)
SIGNALS = st.lists(
    st.sampled_from(
        [
            CONCURRENCY,
            Signal("RequestRate", 10.0),
            Signal("QueueTime", 0.05),
            Signal("CPU", 80.0, percent=True, whole=1.0),
            Signal("CPU", 80.0, percent=True),
            Signal("Memory", 2.0**30),
            Signal("GPU", 80.0, percent=True, whole=1.0),
            Signal("GPU", 80.0, "Memory", percent=True, whole=1.0),
            Signal("TokensInFlight", 4000.0),
            Signal("KVCache", 80.0, percent=True, whole=1.0),
            Signal("WaitingRequests", 2.0),
        ]
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=200)
@given(looks=LOOKS, signals=SIGNALS, is_free=st.booleans(), replicas=st.integers(1, 12))
def test_any_answers_make_a_decision_within_the_rules(
    looks: list[tuple[float, dict[str, Load | None]]],
    signals: list[Signal],
    is_free: bool,
    replicas: int,
) -> None:
    spec = make_spec(*signals, least=2, most=10, down=FREE if is_free else DEFAULT_DOWN)
    state, now, began = EMPTY, 0.0, 0.0
    known: dict[str, Sample | None] = {}
    for gap, pods in looks:
        now += gap
        began = now if gap >= 30 or state is EMPTY else began
        known |= {uid: Sample(now, load) for uid, load in pods.items() if load}
        decision = decide(spec, Look(replicas, {uid: known.get(uid) for uid in pods}), state, now)
        assert 2 <= decision.desired <= 10
        assert decision.replicas == replicas
        if decision.missing or now - began < 15:
            assert decision.desired >= min(replicas, 10)
        if decision.desired != max(2, min(replicas, 10)):
            assert f"{replicas} -> {decision.desired}" in decision.message
        state = scaled(decision.state, replicas, decision.desired, now)
        replicas = decision.desired
