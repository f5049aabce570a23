"""Lanes: inline, on threads, in batches; with a model made of plain Python."""

import asyncio
import math
import os
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.runtime.gated_model import (
    FAST,
    SLOW,
    GatedModel,
    Results,
    entered,
    make_lane,
    make_request,
    values,
)

from modelservice_runtime.errors import DeadlineExceededError, InferenceFailedError, OverloadedError
from modelservice_runtime.model import WarmUp
from modelservice_runtime.tensors import Array


async def test_run_inline_of_a_fast_model_answers_at_once() -> None:
    lane = make_lane(GatedModel(), FAST)
    run = lane.run_inline(make_request(1, 2))
    assert run is not None
    (output,), started_ns, ended_ns = run
    assert (output.tolist(), lane.pending) == ([2, 4], 0)
    assert ended_ns >= started_ns


async def test_run_inline_while_a_run_is_under_way_leaves_it_to_submit() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW)
    lane.submit(make_request(1), results.append)
    await entered(model)
    lane._run_time.run_ns = 0.0
    assert lane.run_inline(make_request(2)) is None
    model.gate.set()
    await results.wait(1)


async def test_run_inline_does_not_pass_over_those_who_wait() -> None:
    results = Results()
    lane = make_lane(GatedModel(), FAST)
    lane.submit(make_request(1), results.append)
    assert lane.run_inline(make_request(2)) is None
    await results.wait(1)
    assert lane.run_inline(make_request(3)) is not None


async def test_submit_to_a_slow_model_runs_on_a_thread() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW)
    assert lane.submit(make_request(1), results.append) is not None
    await entered(model)
    assert (lane.pending, results.items) == (1, [])
    model.gate.set()
    await results.wait(1)
    assert values(results.items[0]) == [2]


async def test_large_input_to_a_fast_model_never_looks_usual_because_of_another() -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    lane = make_lane(model, FAST)
    large = make_request(*[1.0] * 100_000)
    for count in range(1, 4):
        assert lane.run_inline(large) is None
        lane.submit(large, results.append)
        await results.wait(count)


async def test_large_texts_to_a_fast_model_run_on_a_thread() -> None:
    model = GatedModel()
    lane = make_lane(model, FAST)
    request = make_request(1)
    request.text_bytes = 10_000_000
    assert lane.run_inline(request) is None
    results = Results()
    lane.submit(request, results.append)
    await entered(model)  # it waits for the gate, as only threads do
    assert results.items == []
    model.gate.set()
    await results.wait(1)


async def test_queued_runs_take_no_more_of_a_turn_than_the_longest_one_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, results = GatedModel(), Results()
    lane = make_lane(model, WarmUp(2e-3, 1, time_varies=False), queued_inline_below_seconds=5e-3)
    loop, run, now = asyncio.get_running_loop(), model.run, 0.0

    def run_for_two_milliseconds(*arguments: Any) -> list[Array]:
        nonlocal now
        now += 2e-3
        return run(*arguments)

    monkeypatch.setattr(model, "run", run_for_two_milliseconds)
    clock = SimpleNamespace(time=lambda: now, call_soon=loop.call_soon)
    monkeypatch.setattr(lane, "_loop", clock)
    for value in range(5):
        lane.submit(make_request(value), results.append)
    for done in (2, 4, 5):
        await asyncio.sleep(0)
        assert len(results.items) == done


async def test_queued_requests_run_on_the_event_loop_where_the_lane_may() -> None:
    model = GatedModel()  # its gate is shut, which only threads would wait for
    results = Results()
    warm_up = WarmUp(1e-3, 1, time_varies=False)
    lane = make_lane(model, warm_up, inline_below_seconds=0.0, queued_inline_below_seconds=5e-3)
    assert lane.run_inline(make_request(1)) is None
    for value in (1, 2, 3):
        lane.submit(make_request(value), results.append)
    await results.wait(3)
    assert model.calls == [[1], [2], [3]]
    lane._run_time.run_ns = 6e6
    lane._run_time.next_probe = float("inf")  # no trial on the event loop in this test
    lane.submit(make_request(4), results.append)
    for _ in range(4):
        await entered(model)
    assert len(results.items) == 3
    model.gate.set()
    await results.wait(4)


@pytest.mark.parametrize(
    ("warm_up", "rows", "logged"),
    [
        (SLOW, 1, "internal error on a runner thread"),
        (FAST, 1, "internal error while a model ran"),
        (FAST, 4, "internal error while a batch ran"),
    ],
)
async def test_fault_in_a_run_fails_its_requests_and_the_lane_serves_on(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    warm_up: WarmUp,
    rows: int,
    logged: str,
) -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    lane = make_lane(model, warm_up, max_batch_size=rows)
    count = 2 if rows > 1 else 1

    def fault(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(model, "run", fault)
        for _ in range(count):
            lane.submit(make_request(1), results.append)
        await results.wait(count)
    assert [type(item) for item in results.items] == [InferenceFailedError] * count
    assert logged in caplog.text
    lane.submit(make_request(2), results.append)
    await results.wait(count + 1)
    assert (values(results.items[-1]), lane.pending) == ([4], 0)


async def test_submit_of_a_large_input_to_a_fast_model_runs_on_a_thread() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, WarmUp(50e-6, 1, time_varies=False))
    lane._run_time.next_probe = float("inf")  # no trial on the event loop in this test
    assert lane.submit(make_request(*range(1000)), results.append) is not None
    model.gate.set()
    await results.wait(1)


async def test_submit_to_a_model_with_loops_never_runs_inline() -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    lane = make_lane(model, WarmUp(1e-6, 1, time_varies=True))
    for _ in range(5):
        assert lane.submit(make_request(1), results.append) is not None
    await results.wait(5)


async def test_waiting_requests_share_the_next_run_up_to_the_maximum() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=3)
    lane.submit(make_request(0), results.append)
    await entered(model)
    for number in range(1, 6):
        lane.submit(make_request(number), results.append)
    model.gate.set()
    await results.wait(6)
    assert model.calls == [[0], [1, 2, 3], [4, 5]]
    assert [values(result) for result in results.items] == [[2 * number] for number in range(6)]


@pytest.mark.parametrize("batch_size", [1, 3])
async def test_nonfinite_answer_is_counted_and_those_that_share_its_run_are_not(batch_size: int) -> None:
    model, results = GatedModel(), Results()
    lane = make_lane(model, SLOW, **({"max_batch_size": batch_size} if batch_size > 1 else {}))
    lane.submit(make_request(math.nan), results.append)
    await entered(model)
    assert lane._statistics.nonfinite_count == 0
    jobs = [lane.submit(make_request(value), results.append) for value in (1, math.inf, 2, math.nan, 3, 4)]
    lane.cancel(jobs[3])
    model.gate.set()
    await results.wait(6)

    assert max(map(len, model.calls)) == batch_size
    assert lane._statistics.nonfinite_count == 2, "nobody got the fourth answer"


async def test_nonfinite_answer_on_the_event_loop_is_counted() -> None:
    lane, results = make_lane(GatedModel(), FAST), Results()
    assert lane.run_inline(make_request(-math.inf)) is not None
    lane.submit(make_request(math.nan, 1), results.append)
    lane.submit(make_request(1), results.append)
    await results.wait(2)

    assert lane._statistics.nonfinite_count == 2


async def test_batch_delay_collects_requests_and_a_full_batch_does_not_wait() -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=2, max_delay_seconds=1000.0)
    lane.submit(make_request(1), results.append)
    await asyncio.sleep(0.02)
    assert model.calls == []
    lane.submit(make_request(2), results.append)
    await results.wait(2)
    assert model.calls == [[1, 2]]


async def test_batch_delay_ends_at_the_oldest_requests_deadline() -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=8, max_delay_seconds=0.05)
    lane.submit(make_request(1), results.append)
    await results.wait(1)
    assert model.calls == [[1]]


async def test_full_queue_refuses_with_overloaded() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW, max_queue_size=2)
    lane.submit(make_request(1), results.append)
    lane.submit(make_request(2), results.append)
    with pytest.raises(OverloadedError, match="try again later"):
        lane.submit(make_request(3), results.append)
    model.gate.set()
    await results.wait(2)
    lane.submit(make_request(3), results.append)
    await results.wait(3)


async def test_urgent_request_overtakes_those_that_wait() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=2)
    lane.submit(make_request(0), results.append)
    await entered(model)
    for number in (1, 2, 3):
        lane.submit(make_request(number), results.append)
    urgent = make_request(4)
    urgent.priority = 1
    lane.submit(urgent, results.append)
    model.gate.set()
    await results.wait(5)
    assert model.calls == [[0], [4, 1], [2, 3]]


async def test_queue_that_would_take_too_long_refuses_and_says_when_to_come_back() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=2, max_queue_seconds=10.0)
    assert lane.expected_wait_seconds() == 0
    lane._runs.pace.run_seconds = 4.0
    lane.submit(make_request(0), results.append)
    await entered(model)
    assert lane.expected_wait_seconds() == pytest.approx(4.0)
    for number in range(1, 5):
        lane.submit(make_request(number), results.append)
    with pytest.raises(OverloadedError, match=r"about 12\.0 s") as refused:
        lane.submit(make_request(5), results.append)
    assert refused.value.retry_after_seconds == 12
    model.gate.set()
    await results.wait(5)
    assert lane.expected_wait_seconds() == 0
    assert lane._runs.pace.run_seconds < 4.0


async def test_queue_behind_a_run_that_does_not_end_refuses() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW, max_batch_size=2, max_queue_seconds=10.0)
    lane.submit(make_request(0), results.append)
    await entered(model)
    lane.submit(make_request(1), results.append)
    assert lane._runs.pace.last_start_ns is not None
    lane._runs.pace.last_start_ns -= 11_000_000_000
    with pytest.raises(OverloadedError):
        lane.submit(make_request(2), results.append)
    model.gate.set()
    await results.wait(2)


async def test_cancelled_waiting_request_never_runs() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW)
    lane.submit(make_request(1), results.append)
    await entered(model)
    waiting = lane.submit(make_request(2), results.append)
    assert waiting is not None
    lane.cancel(waiting)
    lane.cancel(waiting)
    assert lane.pending == 1
    model.gate.set()
    await results.wait(1)
    assert model.calls == [[1]]


async def test_cancelling_the_last_request_of_a_run_stops_it() -> None:
    model = GatedModel()
    results = Results()
    lane = make_lane(model, SLOW)
    running = lane.submit(make_request(1), results.append)
    assert running is not None
    await entered(model)
    lane.cancel(running)
    lane.submit(make_request(2), results.append)
    await entered(model)
    model.gate.set()
    await results.wait(1)
    assert values(results.items[0]) == [4]


async def test_timeout_answers_and_stops_the_run() -> None:
    results = Results()
    lane = make_lane(GatedModel(), SLOW)
    lane.submit(make_request(1, timeout_seconds=0.05), results.append)
    await results.wait(1)
    assert isinstance(results.items[0], DeadlineExceededError)
    assert lane.pending == 0


@pytest.mark.parametrize("own_timeout", [None, 1000.0])
async def test_request_that_could_run_for_ever_is_stopped_after_the_servers_time(
    own_timeout: float | None,
) -> None:
    results = Results()
    lane = make_lane(GatedModel(), WarmUp(1.0, 1, time_varies=True), max_request_seconds=0.05)
    lane.submit(make_request(1, timeout_seconds=own_timeout), results.append)
    await results.wait(1)
    assert isinstance(results.items[0], DeadlineExceededError)
    assert lane.pending == 0


async def test_request_without_time_left_does_not_get_the_servers() -> None:
    results = Results()
    lane = make_lane(GatedModel(), WarmUp(1.0, 1, time_varies=True), max_request_seconds=3600.0)
    lane.submit(make_request(1, timeout_seconds=0.0), results.append)
    await results.wait(1)
    assert isinstance(results.items[0], DeadlineExceededError)


async def test_close_when_idle_waits_for_the_last_request() -> None:
    model = GatedModel()
    results = Results()
    closed: list[bool] = []
    lane = make_lane(model, SLOW)
    lane.submit(make_request(1), results.append)
    await entered(model)
    lane.close_when_idle(lambda: closed.append(True))
    assert closed == []
    model.gate.set()
    await results.wait(1)
    assert closed == [True]


async def test_slow_model_that_became_fast_returns_to_the_event_loop() -> None:
    model = GatedModel()
    model.gate.set()
    results = Results()
    warm_up = WarmUp(20.0, 1, time_varies=False)
    lane = make_lane(model, warm_up, inline_below_seconds=10.0)
    assert not lane.runs_inline
    lane.submit(make_request(1), results.append)
    await results.wait(1)
    assert lane.runs_inline


async def test_runner_threads_leave_the_core_to_the_event_loop() -> None:
    niceness: list[int] = []

    @dataclass
    class NosyModel(GatedModel):
        def run(self, *arguments: Any) -> list[Array]:
            niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return super().run(*arguments)

    model = NosyModel()
    model.gate.set()
    results = Results()
    make_lane(model, SLOW).submit(make_request(1), results.append)
    await results.wait(1)
    assert niceness == [min(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) + 10, 19)]
