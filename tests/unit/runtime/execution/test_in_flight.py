"""The integral of requests in flight: exact whenever somebody looks, however requests end."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.gated_model import (
    FAST,
    SLOW,
    SPEC,
    GatedModel,
    Results,
    entered,
    make_lane,
    make_request,
)

from modelservice_runtime.errors import OverloadedError
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.offload import LateAnswer
from modelservice_runtime.execution.statistics import QUEUE_BUCKETS_SECONDS, ModelStatistics, Timing
from modelservice_runtime.model import WarmUp
from modelservice_runtime.models.load import model_load, sum_loads
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols.inference import InferCall, infer_inline, record_failure

MOMENTS = st.integers(0, 10**12)


@dataclass(frozen=True)
class Request:
    received_ns: int
    ended_ns: int
    ends_well: bool


@st.composite
def requests(draw: st.DrawFn) -> Request:
    received_ns, ended_ns = sorted((draw(MOMENTS), draw(MOMENTS)))
    return Request(received_ns, ended_ns, draw(st.booleans()))


def end(statistics: ModelStatistics, request: Request) -> None:
    if request.ends_well:
        statistics.record_success(request.received_ns, request.ended_ns, Timing())
    else:
        statistics.record_failure("CANCELED", request.received_ns, request.ended_ns)


@given(st.lists(requests(), max_size=12), st.lists(requests(), max_size=4), st.lists(MOMENTS, max_size=6))
def test_in_flight_is_the_time_that_requests_were_open(
    late: list[Request], inline: list[Request], looks: list[int]
) -> None:
    """Nobody can look while a request is answered in one go, so those are before or after it as a whole."""
    looks = [at for at in looks if not any(one.received_ns < at < one.ended_ns for one in inline)]
    statistics = ModelStatistics()
    # What happens at the same moment: arrivals, ends, looks.
    events = [(request.received_ns, 0, request) for request in late]
    events += [(request.ended_ns, 1, request) for request in late]
    events += [(request.ended_ns, 2, request) for request in inline]
    events += [(at, 3, None) for at in looks]
    for at, kind, request in sorted(events, key=lambda event: event[:2]):
        if kind == 0 and request:
            statistics.open(request.received_ns)
        elif kind == 1 and request:
            statistics.close(request.received_ns)
            end(statistics, request)
        elif kind == 2 and request:
            statistics.record_inline(request.received_ns, request.received_ns, at, at)
        else:
            everybody = [*late, *inline]
            spent = sum(max(min(at, one.ended_ns) - one.received_ns, 0) for one in everybody)
            assert statistics.in_flight_ns(at) == spent
            assert statistics.open_count == sum(one.received_ns <= at < one.ended_ns for one in late)
            assert statistics.request_count == sum(one.ended_ns <= at for one in everybody)
            ended = [one.ended_ns for one in everybody if one.ended_ns <= at]
            assert statistics.last_end_ns == max(ended, default=None)


def answer(outputs: object) -> str:
    return "answer"


def answer_later(outputs: object) -> LateAnswer[str]:
    return LateAnswer(lambda: "answer")


def refuse(outputs: object) -> str:
    raise ValueError


def make_handle(model: GatedModel, lane: Lane, statistics: ModelStatistics) -> ModelHandle:
    lane._statistics = lane._runs._statistics = statistics
    return ModelHandle(SPEC, lane, statistics)


@pytest.mark.parametrize("encode", [answer, answer_later, refuse])
@pytest.mark.parametrize("rows", [1, 8])
async def test_mean_of_requests_in_flight_is_what_was_in_flight(encode: object, rows: int) -> None:
    model, results, statistics = GatedModel(), Results(), ModelStatistics()
    handle = make_handle(model, make_lane(model, SLOW, max_batch_size=rows, runner_threads=1), statistics)
    received_ns = [10, 20, 30, 40, 50]
    calls = [InferCall(handle, at, encode, results.append) for at in received_ns]  # type: ignore[arg-type]
    for call in calls:
        call.enqueue(make_request(1))
    await entered(model)
    calls[4].cancel()

    first, second = model_load([handle], 1_000_000), model_load([handle], 3_000_000)
    assert (first.running, first.running + first.waiting) == (2 if rows == 1 else 4, 4)
    assert (second.in_flight_ns - first.in_flight_ns) / 2_000_000 == 4

    model.gate.set()
    await results.wait(4)
    ended = model_load([handle], statistics.last_end_ns or 0)
    assert (ended.running, ended.waiting, ended.requests) == (0, 0, 5)
    assert (statistics.open_count, statistics.open_received_ns) == (0, 0)
    assert ended.in_flight_ns == statistics.duration_sum_ns
    assert sum(statistics.queue_counts) == 5


async def test_request_that_is_refused_is_not_in_flight() -> None:
    model, statistics = GatedModel(), ModelStatistics()
    lane = make_lane(model, SLOW, max_queue_size=1, runner_threads=1)
    handle = make_handle(model, lane, statistics)
    calls = [InferCall(handle, 10, answer, lambda _: None) for _ in range(5)]
    refused = 0
    for call in calls:
        try:
            call.enqueue(make_request(1))
        except Exception:  # noqa: BLE001 - which one is the lane's matter
            refused += 1
    assert refused > 0
    assert statistics.open_count == lane.pending == 5 - refused
    model.gate.set()


async def test_inline_run_whose_answer_is_written_later_is_in_flight_meanwhile() -> None:
    model, results, statistics = GatedModel(), Results(), ModelStatistics()
    handle = make_handle(model, make_lane(model, FAST), statistics)
    late = infer_inline(handle, make_request(1), 10, answer_later)
    assert isinstance(late, LateAnswer)
    InferCall(handle, 10, answer_later, results.append).go_on(make_request(1), late)  # type: ignore[arg-type]
    assert (model_load([handle], 20).running, model_load([handle], 20).waiting) == (1, 0)
    await results.wait(1)
    assert (statistics.open_count, statistics.request_count, sum(statistics.queue_counts)) == (0, 1, 1)


async def test_waits_count_whoever_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 1_000_000_000
    monkeypatch.setattr("time.perf_counter_ns", lambda: now_ns)
    model, results, statistics = GatedModel(), Results(), ModelStatistics()
    lane = make_lane(model, SLOW, runner_threads=1, max_batch_size=1)
    handle = make_handle(model, lane, statistics)
    calls = [InferCall(handle, 0, answer, results.append) for _ in range(4)]  # type: ignore[arg-type]
    for call in calls:
        call.enqueue(make_request(1))
    await entered(model)
    now_ns = 4_000_000_000
    calls[3].cancel()
    model.gate.set()
    await results.wait(3)

    # One started at once; two waited for it to end, one of them gave up before.
    counted = dict(zip((*QUEUE_BUCKETS_SECONDS, None), statistics.queue_counts, strict=True))
    assert {bound: count for bound, count in counted.items() if count} == {0.001: 1, 3.5: 3}
    assert statistics.waited_ns == 9_000_000_000


def test_load_of_nobody_is_nothing() -> None:
    load = sum_loads([])
    assert (load.running, load.requests, load.last_end_ns) == (0, 0, 0)
    assert len(load.queue_counts) == len(QUEUE_BUCKETS_SECONDS) + 1


STEPS = st.sampled_from(["ask", "ask late", "ask wrong", "ask in no time", "cancel", "turn"])


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=30), st.sampled_from([FAST, SLOW]), st.sampled_from([1, 4]))
def test_whatever_becomes_of_requests_they_count_once_and_are_in_flight_no_more(
    steps: list[str], warm_up: WarmUp, rows: int
) -> None:
    asyncio.run(play(steps, warm_up, rows))


async def play(steps: list[str], warm_up: WarmUp, rows: int) -> None:
    """Ask and cancel in this order, wait for all, and count."""
    model, statistics, waited = GatedModel(), ModelStatistics(), 0
    model.gate.set()
    lane = make_lane(model, warm_up, max_batch_size=rows, runner_threads=1, max_queue_size=3)
    handle = make_handle(model, lane, statistics)
    calls: list[InferCall[str]] = []
    encodes = {"ask late": answer_later, "ask wrong": refuse}
    for number, step in enumerate(steps):
        if step == "cancel" and calls:
            calls.pop(0).cancel()
        elif step == "turn":
            await asyncio.sleep(0)
        elif step.startswith("ask"):
            timeout_seconds = 0.0001 if step == "ask in no time" else None
            call = InferCall(handle, number, encodes.get(step, answer), lambda _: None)
            calls.append(call)
            try:
                call.enqueue(make_request(1, timeout_seconds=timeout_seconds))
            except OverloadedError as error:
                record_failure(handle, number, error)
                continue
            waited += 1
        assert statistics.open_count >= lane.pending
    async with asyncio.timeout(120):
        # A run whose requests have all left ends later, and then it is known how long they waited.
        while statistics.open_count or lane._running:  # noqa: ASYNC110 - whoever ends last tells nobody
            await asyncio.sleep(0.001)
    assert statistics.open_received_ns == lane.pending == 0
    assert statistics.request_count == sum(step.startswith("ask") for step in steps)
    assert statistics.in_flight_ns(10**18) == statistics.duration_sum_ns
    assert sum(statistics.queue_counts) == waited
