"""Real servers under requests: what an analysis measures of them is what they were asked."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.integration.measure.conftest import BAD, FINE, Server

from modelservice_operator.api import Analysis, AnalysisMetric
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.decide.gates.analysis import judge
from modelservice_operator.facts.measured import Measurement, MeasureRequest
from modelservice_operator.work.measure.measurer import Measurer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Key("mail", "spam")
METRICS = ("ErrorRatio", "LatencyP50", "LatencyP95", "LatencyP99", "Saturation", "NonFiniteRatio")
ERRORS, P95, P99, NON_FINITE = (
    str(METRICS.index(name)) for name in ("ErrorRatio", "LatencyP95", "LatencyP99", "NonFiniteRatio")
)
REQUEST = MeasureRequest(
    run="1",
    candidate="new",
    stable="old",
    interval_seconds=1,
    metrics=tuple((name, None) for name in METRICS),
)


class Measuring:
    """The measurements of two servers, one after the other."""

    def __init__(self, servers: tuple[Server, Server]) -> None:
        self._pods = [server.pod for server in servers]
        self._woken = asyncio.Event()
        self._measurer = Measurer(lambda _: self._woken.set())

    async def next(self) -> Measurement:
        """The measurement that ends next."""
        self._woken.clear()
        self._measurer.of(KEY, REQUEST, self._pods)
        async with asyncio.timeout(60):
            await self._woken.wait()
        found = self._measurer.of(KEY, REQUEST, self._pods)
        assert found is not None
        return found

    async def until(self, requests: int) -> list[Measurement]:
        """The next measurements that saw something, until they saw so many requests to each server."""
        found: list[Measurement] = []
        while sum(one.candidate.requests for one in found) < requests or (
            sum(one.stable.requests for one in found) < requests
        ):
            found.append(await self.next())
        return found

    async def close(self) -> None:
        self._measurer.forget(KEY)
        await asyncio.wait([one for one in asyncio.all_tasks() if one.get_name() == "measurements of spam"])


@pytest.fixture
async def measuring(servers) -> AsyncIterator[Measuring]:
    made = Measuring(servers)
    yield made
    await made.close()


async def test_errors_of_the_server_are_counted_and_those_of_clients_are_not(servers, measuring):
    new, old = servers
    await measuring.next()

    def ask() -> list[int]:
        old_statuses = [old.look_up(FINE, "FP32" if number % 2 else "INT64") for number in range(100)]
        return [new.look_up(BAD if number % 20 == 0 else FINE) for number in range(100)] + old_statuses

    statuses = await asyncio.to_thread(ask)
    found = await measuring.until(100)

    assert Counter(statuses) == {200: 145, 400: 55}
    assert sum(one.candidate.requests for one in found) == sum(one.stable.requests for one in found) == 100
    faults = sum((one.candidate.values[ERRORS] or 0) * one.candidate.requests for one in found)
    assert faults == pytest.approx(5)
    assert all(not one.stable.values[ERRORS] for one in found)


async def test_answers_with_nan_are_counted(servers, measuring):
    new, old = servers
    await measuring.next()

    def ask() -> None:
        for number in range(20):
            new.logarithm(-1 if number % 4 == 0 else 1)
            old.logarithm(1)

    await asyncio.to_thread(ask)
    found = await measuring.until(20)

    wrong = sum((one.candidate.values[NON_FINITE] or 0) * one.candidate.requests for one in found)
    assert wrong == pytest.approx(5)
    assert all(not one.stable.values[NON_FINITE] for one in found)


async def test_slow_revision_is_told_from_a_fast_one(servers, measuring):
    """Fifty times the work, most of a tenth of a second: a busy machine cannot hide it."""
    new, old = servers
    await measuring.next()

    is_enough = threading.Event()

    def ask() -> None:
        while not is_enough.is_set():
            assert new.turn(15_000) == old.turn(300) == 200

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(ask))
        found = await measuring.until(30)
        is_enough.set()
    analysis = Analysis(
        metrics=[AnalysisMetric(type=name, max_ratio="1.5") for name in METRICS], min_requests=1
    )
    busiest = max(found, key=lambda one: min(one.candidate.requests, one.stable.requests))
    verdicts = {one.metric: one for one in judge(analysis, busiest)}

    assert verdicts["LatencyP95"].result == "Failed"
    assert 0 < busiest.stable.values[P95] < busiest.candidate.values[P95] <= busiest.candidate.values[P99]
    assert verdicts["ErrorRatio"].result == "Passed"
