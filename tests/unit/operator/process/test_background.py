"""What runs beside reconciliation: events, pods on demand, watchdog, probes."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from tests.support.ipv6 import needs_ipv6
from tests.support.operator_objects import make_model_service
from tests.support.ports import free_port

from modelservice_operator import metrics
from modelservice_operator.client import events as events_module
from modelservice_operator.client.events import Recorder, build_event
from modelservice_operator.common_metrics import process_registry
from modelservice_operator.explain.transitions import Transition
from modelservice_operator.facts.errors import ApiError, OperatorError
from modelservice_operator.process import watchdog as watchdog_module
from modelservice_operator.process.health import HealthServer
from modelservice_operator.process.watchdog import Heartbeat, guard_tasks
from modelservice_operator.work.pods.reader import stuck_pods

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
READY = Transition("Normal", "Ready", "it is ready")


class EventApi:
    """Keeps events as the API server does, or refuses them."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.events: dict[str, dict] = {}

    async def create(self, _resource: object, _namespace: str, event: dict) -> dict:
        if not self.works:
            raise ApiError("no", status=403)
        assert event["metadata"]["name"] not in self.events
        self.events[event["metadata"]["name"]] = event
        return event

    async def amend(self, _resource: object, _namespace: str, name: str, patch: dict) -> dict:
        if not self.works:
            raise ApiError("no", status=403)
        self.events[name] |= patch
        return self.events[name]

    def newest(self) -> str:
        """The reason of the event that people see last: by its series, else by its time."""

        def seen(event: dict) -> str:
            return event.get("series", {}).get("lastObservedTime", event["eventTime"])

        return max(self.events.values(), key=seen)["reason"]


async def run_recorder(recorder: Recorder) -> None:
    task = asyncio.create_task(recorder.run())
    for _ in range(recorder._backlog.qsize() + 2):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


async def test_recorder_back_and_forth_ends_with_what_came_last():
    api = EventApi()
    recorder = Recorder(api, "operator-0")  # type: ignore[arg-type]
    for reason in ("Ready", "ModelLoadFailed", "Ready"):
        recorder.record(make_model_service(), Transition("Normal", reason, "a sentence"))
    await run_recorder(recorder)
    # In the order of names, as lists have it and `kubectl describe` shows it.
    assert [api.events[name]["reason"] for name in sorted(api.events)] == [
        "Ready",
        "ModelLoadFailed",
        "Ready",
    ]


@pytest.mark.parametrize("changes", [100, 101])
async def test_recorder_flapping_makes_few_objects_and_still_ends_with_what_came_last(changes):
    api = EventApi()
    recorder = Recorder(api, "operator-0", clock=lambda: 100.0)  # type: ignore[arg-type]
    reasons = [("Ready", "OutOfMemory")[number % 2] for number in range(changes)]
    for number, reason in enumerate(reasons):
        recorder.record(make_model_service(), Transition("Normal", reason, f"sentence {number}"))
    await run_recorder(recorder)
    assert len(api.events) == events_module.BURST
    assert api.newest() == reasons[-1]
    counted = sum(event.get("series", {}).get("count", 1) for event in api.events.values())
    assert counted == changes


async def test_recorder_counts_repetitions_where_they_cost_later_events_nothing():
    api = EventApi()
    recorder = Recorder(api, "operator-0", clock=lambda: 100.0)  # type: ignore[arg-type]
    recorder.record(make_model_service(), Transition("Normal", "AnalysisPassed", "the first"))
    for _ in range(100):
        again = Transition("Normal", "AnalysisPassed", "the same", repeats=True)
        recorder.record(make_model_service(), again)
    for revision in ("a", "b"):
        recorder.record(make_model_service(), Transition("Normal", "RolloutComplete", revision))
    await run_recorder(recorder)
    (passed, *complete) = (api.events[name] for name in sorted(api.events))
    assert (passed["note"], passed["series"]["count"]) == ("the first", 101)
    assert [one["note"] for one in complete] == ["a", "b"]


async def test_recorder_that_was_quiet_for_long_makes_objects_again():
    now = 100.0
    api = EventApi()
    recorder = Recorder(api, "operator-0", clock=lambda: now)  # type: ignore[arg-type]
    for _ in range(events_module.BURST + 1):
        recorder.record(make_model_service(), READY)
    now += 2 * events_module.REFILL_SECONDS
    recorder.record(make_model_service(), READY)
    recorder.record(make_model_service("ham", uid="uid-ham"), READY)
    await run_recorder(recorder)
    assert len(api.events) == events_module.BURST + 2


async def test_recorder_survives_refusals_and_overload(monkeypatch):
    monkeypatch.setattr(events_module, "BACKLOG", 2)
    recorder = Recorder(EventApi(works=False), "operator-0")  # type: ignore[arg-type]
    for number in range(10):
        recorder.record(make_model_service(uid=str(number)), READY)
    await run_recorder(recorder)


def test_build_event_keeps_to_the_apis_limits():
    transition = Transition("Warning", "R" * 200, "ä" * 2000)
    event = build_event(make_model_service(), transition, "i" * 300, NOW)
    assert len(event["note"].encode()) <= 1024
    assert len(event["reason"]) <= 128
    assert len(event["reportingInstance"]) <= 128
    assert event["eventTime"] == "2026-01-01T12:00:00.000000Z"
    assert event["regarding"]["uid"] == "uid-spam"


def test_name_of_an_event_has_room_behind_that_of_its_object():
    service = make_model_service()
    for name in ("a" * 253, "a" * 199 + "." + "b" * 53, "short"):
        service["metadata"]["name"] = name
        event = build_event(service, READY, "me", NOW)
        assert re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", event["metadata"]["name"])
        assert len(event["metadata"]["name"]) <= 253
        assert event["regarding"]["name"] == name


def make_pod(*, age_seconds: float = 60, node: str = "node-1", waiting: bool = True, **fields) -> dict:
    created = (NOW - timedelta(seconds=age_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"waiting": {"reason": "ContainerCreating"}} if waiting else {"running": {}}
    statuses = [{"state": state, "restartCount": fields.get("restarts", 0)}]
    metadata = {"uid": "uid-pod", "creationTimestamp": created}
    if fields.get("deleting"):
        metadata["deletionTimestamp"] = created
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": fields.get("phase", "Pending"), "containerStatuses": statuses},
    }


@pytest.mark.parametrize(
    ("pod", "stuck"),
    [
        (make_pod(), True),
        (make_pod(age_seconds=0), False),
        (make_pod(node=""), False),
        (make_pod(waiting=False), False),
        (make_pod(restarts=1), False),
        (make_pod(phase="Running"), False),
        (make_pod(deleting=True), False),
    ],
)
def test_stuck_pods_are_those_whose_containers_never_started(pod, stuck):
    assert bool(stuck_pods([pod], NOW)) is stuck


async def test_guard_tasks_raises_once_a_task_stays_away():
    async def forever() -> None:
        await asyncio.Event().wait()

    kept = asyncio.create_task(forever(), name="kept")
    lost = asyncio.create_task(forever(), name="lost")
    guard = asyncio.create_task(guard_tasks(["kept", "lost"], check_seconds=0.01))
    await asyncio.sleep(0.1)
    assert not guard.done()
    lost.cancel()
    with pytest.raises(OperatorError, match="lost"):
        await asyncio.wait_for(guard, 120)
    kept.cancel()


async def test_heartbeat_stays_young_while_the_loop_turns(monkeypatch):
    monkeypatch.setattr(watchdog_module, "BEAT_SECONDS", 0.01)
    heartbeat = Heartbeat()
    task = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0.1)
    assert heartbeat.age_seconds < 5
    task.cancel()


async def test_heartbeat_that_is_cancelled_does_not_end_the_process(monkeypatch):
    exits: list[int] = []
    monkeypatch.setattr(watchdog_module.os, "_exit", exits.append)
    monkeypatch.setattr(watchdog_module, "BEAT_SECONDS", 0.01)
    task = asyncio.create_task(Heartbeat().run())
    await asyncio.sleep(0.05)
    task.cancel()
    for listener in [thread for thread in threading.enumerate() if thread.name == "heartbeat"]:
        await asyncio.to_thread(listener.join, 120)
        assert not listener.is_alive()
    assert exits == []


def test_heartbeat_ends_a_process_whose_loop_stalls():
    program = (
        "import asyncio, time\n"
        "from modelservice_operator.process import watchdog\n"
        "watchdog.BEAT_SECONDS, watchdog.STALLED_SECONDS = 0.01, 1.0\n"
        "async def stall():\n"
        "    task = asyncio.create_task(watchdog.Heartbeat().run())\n"
        "    await asyncio.sleep(0.05)\n"
        "    time.sleep(60)\n"
        "asyncio.run(stall())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == watchdog_module.EXIT_STALLED
    assert "in stall" in ended.stderr


def test_heartbeat_ends_a_process_whose_log_nobody_reads():
    program = (
        "import asyncio, logging, sys\n"
        "from modelservice_operator.process import watchdog\n"
        "watchdog.BEAT_SECONDS, watchdog.STALLED_SECONDS = 0.01, 1.0\n"
        "logging.basicConfig(stream=sys.stderr)\n"
        "async def stall():\n"
        "    task = asyncio.create_task(watchdog.Heartbeat().run())\n"
        "    await asyncio.sleep(0.05)\n"
        "    while True:\n"
        "        logging.error('x' * 1000)\n"
        "asyncio.run(stall())\n"
    )
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", program], stderr=writer) as process:
        os.close(writer)
        assert process.wait(120) == watchdog_module.EXIT_STALLED
    os.close(reader)


@needs_ipv6
async def test_health_server_answers_on_both_families():
    port = free_port()
    server = HealthServer("::", port, alive=lambda: True, ready=lambda: True, registry=CollectorRegistry())
    await server.start()
    async with aiohttp.ClientSession() as session:
        for host in ("127.0.0.1", "[::1]"):
            async with session.get(f"http://{host}:{port}/healthz") as response:
                assert response.status == 200
    await server.stop()


async def test_health_server_answers_probes_and_metrics():
    ready = False
    server = HealthServer(
        "127.0.0.1",
        0,
        alive=lambda: True,
        ready=lambda: ready,
        registry=process_registry(metrics.PREFIX, metrics.REGISTRY),
    )
    await server.start()
    assert server._runner is not None
    url = f"http://127.0.0.1:{server._runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(url + path) as response:
                return response.status, await response.text()

        assert (await get("/healthz"))[0] == 200
        assert (await get("/readyz"))[0] == 503
        ready = True
        assert (await get("/readyz"))[0] == 200
        assert "modelservice_operator_queue_depth" in (await get("/metrics"))[1]
    await server.stop()
