"""A request of several runs: their order, whose turn it is between them, and its end."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.gated_model import SLOW, SPEC, GatedModel, Results, entered, make_lane, make_request

from modelservice_runtime.errors import DeadlineExceededError
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.models.repository import ModelHandle
from modelservice_runtime.protocols import inference
from modelservice_runtime.protocols.inference import InferCall, RunsCall


class Turnstile(threading.Semaphore):
    """A gate through which one run goes at each `release`."""

    def wait(self, seconds: float) -> bool:
        return self.acquire(timeout=seconds)


class Asked:
    """A model with one thread, and what its clients were told."""

    def __init__(self) -> None:
        self.model, self.results = GatedModel(), Results()
        lane = make_lane(self.model, SLOW, runner_threads=1)
        self.handle = ModelHandle(SPEC, lane, ModelStatistics())

    def make(self, kind: Any) -> Any:
        return kind(self.handle, 10, list, self.results.append)


REQUESTS = [make_request(1), make_request(2, 3), make_request(4)]


async def test_others_have_their_turn_between_two_runs() -> None:
    asked = Asked()
    asked.make(RunsCall).enqueue_all(REQUESTS, None)
    await entered(asked.model)
    asked.make(InferCall).enqueue(make_request(9))
    asked.model.gate.set()
    await asked.results.wait(2)
    assert asked.model.calls == [[1], [9], [2, 3], [4]]
    other, outputs = asked.results.items
    assert np.concatenate(other).tolist() == [18]  # type: ignore[arg-type]
    assert np.concatenate(outputs).tolist() == [2, 4, 6, 8]  # type: ignore[arg-type]
    statistics = asked.handle.statistics
    assert (statistics.request_count, statistics.open_count) == (2, 0)


async def test_a_client_that_leaves_ends_the_runs_behind() -> None:
    asked = Asked()
    asked.model.gate = gate = Turnstile(1)  # type: ignore[assignment]
    call = asked.make(RunsCall)
    call.enqueue_all(REQUESTS, None)
    await entered(asked.model)
    await entered(asked.model)
    call.cancel()
    asked.make(InferCall).enqueue(make_request(9))
    await entered(asked.model)
    gate.release()
    await asked.results.wait(1)
    assert asked.model.calls == [[1], [2, 3], [9]]
    assert len(asked.results.items) == 1
    assert asked.handle.statistics.open_count == 0


async def test_the_time_of_a_request_is_that_of_all_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, perf_counter_ns=time.perf_counter_ns)
    monkeypatch.setattr(inference, "time", clock)
    asked = Asked()
    asked.model.gate = gate = Turnstile(0)  # type: ignore[assignment]
    asked.make(RunsCall).enqueue_all(REQUESTS, 1000)
    await entered(asked.model)
    now = 1000.0
    gate.release()
    await asked.results.wait(1)
    assert isinstance(asked.results.items[0], DeadlineExceededError)
    assert [4] not in asked.model.calls
    assert asked.handle.statistics.open_count == 0
