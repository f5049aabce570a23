"""Measuring pods on loopback: differences, restarts, pods that come and go, and nothing when nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.measured import Measurement, MeasureRequest
from modelservice_operator.work.measure import pods as pod_source
from modelservice_operator.work.measure.measurer import BROKE, Measurer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NOW = datetime(2026, 1, 1, 12, 0, 0, 987_654, tzinfo=UTC)
KEY = Key("mail", "spam")
ERRORS = (("ErrorRatio", None),)


class Pod:
    """A pod's server: each look finds so many more requests than the last one."""

    def __init__(self, name: str, revision: str = "new", *, good: int = 95, bad: int = 5) -> None:
        self.name = name
        self.revision = revision
        self.good = good
        self.bad = bad
        self.looks = 0
        self.was_asked = asyncio.Event()
        self.seen = [0, 0]
        self.pending = 0
        self.started = 1
        self.is_ready = True
        self.port = 0
        self.answer: Callable[[], web.StreamResponse] | None = None

    def page(self) -> str:
        self.seen = [self.seen[0] + self.good, self.seen[1] + self.bad]
        failure = 'nv_inference_request_failure{model="m",version="1",reason='
        return (
            f'nv_inference_request_success{{model="m",version="1"}} {self.seen[0]}\n'
            f'{failure}"BACKEND"}} {self.seen[1]}\n{failure}"OTHER"}} 0\n'
            f'nv_inference_pending_request_count{{model="m",version="1"}} {self.pending}\n'
            f"process_start_time_seconds {self.started}\n"
        )

    def restart(self) -> None:
        self.seen, self.started = [0, 0], self.started + 1

    async def handle(self, _: web.Request) -> web.StreamResponse:
        self.looks += 1
        self.was_asked.set()
        return self.answer() if self.answer is not None else web.Response(text=self.page())

    @property
    def object(self) -> dict[str, Any]:
        ports = [{"name": "metrics", "containerPort": self.port}]
        labels = {"modelservice.dev/revision": self.revision}
        ready = {"type": "Ready", "status": "True" if self.is_ready else "False"}
        return {
            "metadata": {"name": self.name, "uid": self.name, "labels": labels},
            "spec": {"containers": [{"name": "server", "ports": ports}]},
            "status": {"podIP": "127.0.0.1", "conditions": [ready], "phase": "Running"},
        }


class Pods:
    """Pods that listen, and the measurer that asks them."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self.woken = asyncio.Event()
        self.wakes: Counter[Key] = Counter()
        self.measurer = Measurer(self._wake, now=lambda: NOW)
        self._runners: list[web.AppRunner] = []

    async def add(self, *pods: Pod) -> None:
        for pod in pods:
            application = web.Application()
            application.router.add_get("/metrics", pod.handle)
            runner = web.AppRunner(application)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            pod.port = runner.addresses[0][1]
            self._runners.append(runner)
            self.pods.append(pod)

    def of(self, request: MeasureRequest) -> Measurement | None:
        return self.measurer.of(KEY, request, [pod.object for pod in self.pods])

    async def next(self, request: MeasureRequest) -> Measurement:
        """The measurement of the interval that goes on now, or of the first one."""
        self.of(request)
        await self._next_wake()
        found = self.of(request)
        assert found is not None
        return found

    async def _next_wake(self) -> None:
        self.woken.clear()
        async with asyncio.timeout(120):
            await self.woken.wait()

    def _wake(self, key: Key) -> None:
        self.wakes[key] += 1
        self.woken.set()

    async def close(self) -> None:
        self.measurer.forget(KEY)
        if tasks := measuring():
            await asyncio.wait(tasks)
        for runner in self._runners:
            await runner.cleanup()


def measuring() -> list[asyncio.Task[None]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "measurements of spam"]


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    made = Pods()
    yield made
    await made.close()


def make_request(
    *, metrics: tuple[tuple[str, str | None], ...] = ERRORS, stable: str | None = None, run: str = "1"
) -> MeasureRequest:
    """A request whose intervals are as short as can be: two looks, one after the other."""
    return MeasureRequest(run=run, candidate="new", stable=stable, interval_seconds=0, metrics=metrics)


async def test_measurement_is_the_difference_of_two_looks_of_each_revision(pods):
    old = Pod("old", "old", good=200, bad=0)
    await pods.add(Pod("a"), Pod("b", good=300, bad=0), old)
    assert pods.of(make_request(stable="old")) is None
    found = await pods.next(make_request(stable="old"))

    assert found.run == "1"
    assert found.ended_at == NOW.replace(microsecond=0)
    assert found.candidate.requests == 400
    assert found.candidate.values == {"0": 5 / 400}
    assert 0 < found.candidate.lowest["0"] < 5 / 400
    assert found.stable.requests == 200
    assert found.stable.values == {"0": 0}
    assert not found.problem
    assert not found.problems


async def test_measurements_follow_each_other_without_a_gap(pods):
    pod = Pod("a")
    await pods.add(pod)
    for _ in range(3):
        assert (await pods.next(make_request())).candidate.requests == 100
    assert pod.looks in (pods.wakes[KEY] + 1, pods.wakes[KEY] + 2)  # the next interval may be at its end


async def test_restart_of_a_container_counts_from_zero(pods):
    pod = Pod("a", good=30, bad=0)
    await pods.add(pod)
    pod.seen = [1000, 0]
    pods.of(make_request())
    await pod.was_asked.wait()
    pod.restart()
    found = await pods.next(make_request())

    assert found.candidate.requests == 30


async def test_pod_that_does_not_answer_leaves_it_to_the_others(pods):
    broken, gone = Pod("broken"), Pod("gone")
    broken.answer = lambda: web.Response(status=500)
    await pods.add(Pod("a"), broken, gone)
    gone.port = 1
    found = await pods.next(make_request())

    assert found.candidate.requests == 100
    assert not found.problem


async def test_no_pod_that_can_be_read_is_told(pods):
    broken = Pod("a")
    broken.answer = lambda: web.Response(status=302, headers={"Location": "/elsewhere"})
    old = Pod("b", "old")
    old.is_ready = False
    await pods.add(broken, old)
    found = await pods.next(make_request(stable="old"))

    assert found.candidate is None
    assert found.stable is None
    assert found.problem == (
        "no pod of revision new could be read: a: it answers 302; no pod of revision old is ready"
    )


@pytest.mark.parametrize(
    "text",
    ["x" * (pod_source.LARGEST_PAGE_BYTES + 1), "nothing of ours", "\udcff"],
    ids=["long", "other", "bytes"],
)
async def test_page_that_is_too_long_or_not_ours_is_not_read(pods, text):
    pod = Pod("a")
    pod.answer = lambda: web.Response(body=text.encode("utf-8", "surrogateescape"))
    await pods.add(pod)

    assert (await pods.next(make_request())).problem.startswith("no pod of revision new could be read: a: ")


async def test_pods_are_those_of_the_newest_list(pods):
    await pods.add(Pod("a"))
    await pods.next(make_request())
    await pods.add(Pod("b", good=1000, bad=0))
    found = [(await pods.next(make_request())).candidate.requests for _ in range(4)]

    assert found[-1] == 1100


async def test_pod_that_came_in_between_says_nothing_yet(pods):
    pod = Pod("a")
    pod.is_ready = False
    await pods.add(pod)
    pods.of(make_request())
    await asyncio.sleep(0)
    pod.is_ready = True
    found = await pods.next(make_request())

    assert found.problem == "no pod of revision new was ready for the whole interval"
    assert (await pods.next(make_request())).candidate.requests == 100


async def test_of_many_pods_some_are_asked_always_the_same(pods, monkeypatch):
    monkeypatch.setattr(pod_source, "MAX_PODS", 2)
    await pods.add(*(Pod(str(number)) for number in range(5)))
    for _ in range(3):
        assert (await pods.next(make_request())).candidate.requests == 200
    asked = [pod.name for pod in pods.pods if pod.looks]
    assert len(asked) == 2


async def test_query_without_prometheus_has_no_value(pods):
    await pods.add(Pod("a"))
    found = await pods.next(make_request(metrics=(("Prometheus", "up"), *ERRORS, ("NonFiniteRatio", None))))

    assert found.candidate.values == {"0": None, "1": 0.05, "2": None}
    assert "spec.rollout.prometheus.url" in found.problems["0"]
    assert "older" in found.problems["2"]
    assert set(found.problems) == {"0", "2"}


async def test_waiting_requests_are_an_average_over_looks_and_pods(pods):
    idle, busy = Pod("a"), Pod("b")
    busy.pending = 6
    await pods.add(idle, busy)
    found = await pods.next(make_request(metrics=(("Saturation", None),)))

    assert found.candidate.values == {"0": 3}


async def test_another_run_begins_anew(pods):
    await pods.add(Pod("a"))
    await pods.next(make_request())
    assert pods.of(make_request(run="2")) is None
    assert (await pods.next(make_request(run="2"))).run == "2"


async def test_nothing_is_asked_when_nobody_wants_to_know(pods):
    pod = Pod("a")
    await pods.add(pod)
    pods.of(make_request())
    (task,) = measuring()
    async with asyncio.timeout(120):
        await task

    # One measurement, of which it was told, and one more in which nobody asked.
    assert pods.wakes[KEY] == 1
    assert pod.looks == 3
    # Who comes back late finds what was measured, and it goes on.
    late = pods.of(make_request())
    assert late is not None
    assert late.candidate.requests == 100
    assert measuring()


async def test_who_asks_just_as_it_ends_is_measured(pods, monkeypatch):
    await pods.add(Pod("a"))
    session = pods.measurer._session

    @contextlib.asynccontextmanager
    async def asked_while_closing(request: MeasureRequest) -> AsyncIterator[aiohttp.ClientSession]:
        async with session(request) as opened:
            yield opened
        pods.of(make_request())

    monkeypatch.setattr(pods.measurer, "_session", asked_while_closing)
    pods.of(make_request())
    (task,) = measuring()
    async with asyncio.timeout(120):
        await task
    assert measuring()


async def test_forget_ends_it_at_once(pods):
    pod = Pod("a")
    await pods.add(pod)
    await pods.next(make_request())
    pods.measurer.forget(KEY)
    (task,) = measuring()
    await asyncio.wait([task])

    assert task.cancelled()


async def test_fault_of_ours_is_logged_and_says_nothing(pods, monkeypatch, caplog):
    await pods.add(Pod("a"))
    monkeypatch.setattr(pod_source, "parse_page", lambda _: 1 / 0)
    found = await pods.next(make_request())

    assert found.candidate is None
    assert found.problem == BROKE
    assert "division by zero" in caplog.text
