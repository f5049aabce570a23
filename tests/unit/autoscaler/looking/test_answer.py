"""What pods say of themselves is read strictly: they belong to users."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.autoscaler.objects import make_answer

from modelservice_autoscaler.algorithm.load import TextLoad
from modelservice_autoscaler.looking.answer import parse_answer


def test_answer_is_read_in_full():
    answer = parse_answer(make_answer(idleSeconds=3.5, further="field"))
    load = answer.load
    assert answer.idle_seconds == 3.5
    assert (load.uptime_seconds, load.in_flight_seconds, load.requests) == (100.0, 50.0, 1000)
    assert (load.cpu_seconds, load.memory_bytes) == (40.0, 2**28)
    assert (load.queue_bounds_seconds, load.queue_counts) == ((0.01, 0.1), (990, 9, 1))
    assert [(gpu.utilization, gpu.memory_used_bytes, gpu.memory_total_bytes) for gpu in load.gpus] == [
        (None, 1, 2)
    ]


def test_answer_of_a_model_that_generates_text_is_read():
    texts = {"tokensInFlight": 700, "kvCacheUsage": 0.5, "maxSequences": 16}
    assert parse_answer(make_answer(generation=texts)).load.texts == TextLoad(700.0, 0.5, 16)
    assert parse_answer(make_answer()).load.texts is None


def test_answer_without_devices_and_queue_is_read():
    load = parse_answer(make_answer(gpus=[], queueSeconds={})).load
    assert (load.gpus, load.queue_counts) == ((), ())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        make_answer(requests=-1),
        make_answer(requests=float("nan")),
        make_answer(inFlightSeconds=10**400),
        make_answer(idleSeconds=None),
        make_answer(uptimeSeconds="1"),
        make_answer(queueSeconds={"bounds": [0.1], "counts": [1]}),
        make_answer(queueSeconds={"bounds": [0.1] * 65, "counts": [1] * 66}),
        make_answer(gpus=[{"utilization": 1.5}]),
        make_answer(gpus=[{}] * 17),
        make_answer(generation={"tokensInFlight": 1, "kvCacheUsage": 1.5, "maxSequences": 16}),
        make_answer(generation={"tokensInFlight": 1, "kvCacheUsage": 0.5, "maxSequences": 0}),
        make_answer(generation={"kvCacheUsage": 0.5, "maxSequences": 1}),
    ],
    ids=range(17),
)
def test_answer_of_another_kind_is_refused(raw):
    with pytest.raises(ValueError, match="its answer"):
        parse_answer(raw)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_answer_or_refused(raw):
    with pytest.raises(ValueError, match="its answer"):
        parse_answer(raw)
