"""Reading pods: followed while they are wanted, asked what they loaded, and nothing of either afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.client.answers import ListMeta, Page, WatchEvent
from modelservice_operator.facts.errors import TransportError
from modelservice_operator.facts.kinds import PODS
from modelservice_operator.work.pods import reports, watches
from modelservice_operator.work.pods.reader import PodReader
from modelservice_operator.work.pods.reports import PodReports

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("mail", "spam")


def make_pod(
    name: str = "a", *, version: str = "1", phase: str = "Pending", node: str = ""
) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {**metadata, "resourceVersion": version, "managedFields": [{"manager": "kubelet"}]},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase},
    }


class Api:
    """Lists what `pods` holds; a watch brings what is put into its queue, an exception too."""

    def __init__(self, *pods: dict[str, Any]) -> None:
        self.pods = list(pods)
        self.calls: Counter[str] = Counter()
        self.open: dict[str, asyncio.Queue[WatchEvent | Exception]] = {}

    async def list_pages(self, resource, _namespace, *, selector):
        self.calls["list"] += 1
        yield Page(ListMeta(resource_version="5"), list(self.pods))

    async def list_by(self, _resource, _namespace, *, labels: str = "", fields: str = "") -> list[Any]:
        self.calls["events"] += 1
        return [{"reason": "FailedMount"}]

    async def watch(self, resource, _namespace, version, selector):
        assert resource is PODS
        self.calls["watch"] += 1
        events = self.open[selector] = asyncio.Queue()
        try:
            while True:
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            if self.open.get(selector) is events:
                del self.open[selector]


class Reader:
    """A PodReader and the services that it woke."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.woken: list[Key] = []
        self.reader = PodReader(api, self.woken.append)  # type: ignore[arg-type]

    async def read(self, key: Key = KEY, *, follow: bool = True):
        found = await self.reader.read(key, NOW, follow=follow)
        await asyncio.sleep(0)  # a watch opens
        return found

    async def tell(self, kind: str, pod: dict[str, Any], key: Key = KEY) -> None:
        await self.put(WatchEvent(kind, pod), key)

    async def put(self, event: WatchEvent | Exception, key: Key = KEY) -> None:
        self.api.open[f"modelservice.dev/name={key.name}"].put_nowait(event)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_pods_that_are_followed_are_listed_once_and_then_as_events_bring_them():
    reader = Reader(Api(make_pod("a")))
    assert (await reader.read()).are_followed
    await reader.tell("MODIFIED", make_pod("a", version="6", phase="Running"))
    await reader.tell("ADDED", make_pod("b", version="7"))
    assert reader.woken == [KEY, KEY]
    found = await reader.read()
    phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in found.pods}
    assert phases == {"a": "Running", "b": "Pending"}
    await reader.tell("DELETED", make_pod("a", version="8"))
    assert len((await reader.read()).pods) == 1
    assert reader.api.calls["list"] == reader.api.calls["watch"] == 1


async def test_events_without_news_wake_nobody():
    reader = Reader(Api(make_pod("a")))
    await reader.read()
    await reader.tell("MODIFIED", make_pod("a", version="9"))
    await reader.tell("BOOKMARK", {"metadata": {"resourceVersion": "10"}})
    assert reader.woken == []


async def test_watch_is_closed_when_nobody_wants_the_pods_any_more():
    reader = Reader(Api(make_pod()))
    await reader.read()
    assert len(reader.api.open) == 1
    reader.reader.forget(KEY)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert reader.api.open == {}
    assert reader.woken == []


async def test_watch_that_breaks_wakes_its_service_which_is_polled_from_then_on(monkeypatch):
    monkeypatch.setattr("modelservice_operator.work.pods.reader.FRESH_SECONDS", 0)
    reader = Reader(Api(make_pod()))
    await reader.read()
    await reader.put(TransportError("cut"))
    assert reader.woken == [KEY]
    assert not (await reader.read()).are_followed
    assert reader.api.calls == {"list": 2, "watch": 1}
    reader.reader.forget(KEY)
    assert (await reader.read()).are_followed


async def test_services_beyond_the_limit_take_the_place_of_those_that_wait_longest(monkeypatch):
    monkeypatch.setattr(watches, "MAX_WATCHES", 3)
    monkeypatch.setattr("modelservice_operator.work.pods.reader.FRESH_SECONDS", 0)
    reader = Reader(Api(make_pod()))
    keys = [Key("mail", f"m{number}") for number in range(500)]
    for key in keys:
        assert (await reader.read(key)).are_followed
    await asyncio.sleep(0)
    assert len(reader.api.open) == 3
    for key in keys[:10]:
        assert not (await reader.read(key)).are_followed
    assert len(reader.api.open) == 3
    assert (await reader.read(keys[-1])).are_followed


async def test_pods_that_are_not_to_be_followed_share_a_list_for_a_moment():
    reader = Reader(Api(make_pod()))
    for _ in range(2):
        assert not (await reader.read(follow=False)).are_followed
    assert reader.api.calls == {"list": 1}


async def test_events_are_read_of_pods_that_do_not_start_and_not_twice_a_second():
    reader = Reader(Api(make_pod("a", node="n"), make_pod("b")))
    pods = reader.api.pods
    pods[0]["metadata"]["creationTimestamp"] = "2025-12-31T23:59:00Z"
    for _ in range(2):
        assert (await reader.read()).events == ({"reason": "FailedMount"},)
    assert reader.api.calls["events"] == 1


# Reports


REPORT = {"digestsComplete": True, "models": [{"sha256": "a" * 64, "sizeBytes": 7}]}


class Server:
    """What listens at the pods' address; `answers` are given one after the other, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.port = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return web.Response(status=answer)
        return web.Response(body=answer if isinstance(answer, bytes) else msgspec.json.encode(answer))

    def pod(self, name: str = "a", *, container: str = "c1", ready: str = "True") -> dict[str, Any]:
        ports = [{"name": "metrics", "containerPort": self.port}]
        return {
            "metadata": {"uid": f"uid-{name}", "name": name},
            "spec": {"containers": [{"name": "server", "ports": ports}]},
            "status": {
                "podIP": "127.0.0.1",
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "server", "containerID": container, "restartCount": 0}],
            },
        }


@pytest.fixture
async def serve(monkeypatch):
    """Start a Server that gives these answers."""
    monkeypatch.setattr(reports, "RETRIES_SECONDS", (0.01, 0.01))
    runners = []

    async def start(*answers: Any) -> Server:
        server = Server(*answers)
        application = web.Application()
        application.router.add_get("/report", server.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.port = runner.addresses[0][1]
        runners.append(runner)
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


async def settle(reports: PodReports, pods: list[dict[str, Any]], woken: asyncio.Event):
    """Ask, and wait until nothing more is to come."""
    answers = reports.of(KEY, pods)
    while answers.is_pending:
        woken.clear()
        await woken.wait()
        answers = reports.of(KEY, pods)
    return answers


async def test_ready_pods_are_asked_once_in_the_life_of_their_container(serve):
    server, woken = await serve(REPORT), asyncio.Event()
    reports = PodReports(lambda _: woken.set())
    pods = [server.pod("a"), server.pod("b"), server.pod("c", ready="False")]
    answers = await settle(reports, pods, woken)
    assert answers.is_complete
    assert {uid: report.models[0].sha256 for uid, report in answers.reports.items()} == {
        "uid-a": "a" * 64,
        "uid-b": "a" * 64,
    }
    assert (await settle(reports, pods, woken)).is_complete
    assert server.asked == 2
    await settle(reports, [server.pod("a", container="c2"), server.pod("b")], woken)
    assert server.asked == 3


async def test_whoever_waits_is_woken_once_as_soon_as_all_was_said(serve, monkeypatch):
    server, woken = await serve(REPORT), asyncio.Event()
    wakes: list[Key] = []
    monkeypatch.setattr(reports, "RETRIES_SECONDS", (3600.0,))

    def wake(key: Key) -> None:
        wakes.append(key)
        woken.set()

    asked = PodReports(wake)
    async with asyncio.timeout(60):
        assert (await settle(asked, [server.pod("a"), server.pod("b")], woken)).is_complete
    assert wakes == [KEY]


async def test_pods_that_were_read_with_those_of_others_are_asked_at_once(serve):
    server, woken = await serve(REPORT), asyncio.Event()
    reader = PodReader(Api(), lambda _: woken.set(), reads_nodes=False)
    assert reader.take(KEY, [server.pod()])
    await woken.wait()
    assert not reader.take(KEY, [server.pod()]), "whose answers are known"
    assert not reader.take(KEY, []), "of which there are none"
    assert server.asked == 1


async def test_server_that_still_reads_its_files_is_asked_again(serve):
    unfinished = {"digestsComplete": False, "models": [{"sha256": None}]}
    server, woken = await serve(unfinished, unfinished, REPORT), asyncio.Event()
    answers = await settle(PodReports(lambda _: woken.set()), [server.pod()], woken)
    assert answers.is_complete
    assert answers.reports["uid-a"].models[0].sha256 == "a" * 64


async def test_runtime_without_reports_has_said_all_it_has_to_say(serve):
    server, woken = await serve(404), asyncio.Event()
    answers = await settle(PodReports(lambda _: woken.set()), [server.pod()], woken)
    assert (answers.reports, answers.is_complete, server.asked) == ({}, True, 1)


@pytest.mark.parametrize(
    "answer",
    [
        500,
        b"no JSON",
        {"digestsComplete": True, "models": [{"sha256": "../../etc"}]},
        {"digestsComplete": True, "models": [], "padding": "x" * 300_000},
    ],
)
async def test_pod_that_says_nothing_of_use_is_given_up(answer, serve):
    server, woken = await serve(answer), asyncio.Event()
    answers = await settle(PodReports(lambda _: woken.set()), [server.pod()], woken)
    assert (answers.reports, answers.is_complete, server.asked) == ({}, False, 3)


def tensors(count: int, rank: int = 1, size: int = -1) -> list[dict[str, Any]]:
    return [{"name": f"x{number}", "datatype": "FP32", "shape": [size] * rank} for number in range(count)]


@pytest.mark.parametrize(
    "signature",
    [
        {"inputs": tensors(257), "outputs": tensors(1)},
        {"inputs": tensors(1) * 2, "outputs": tensors(1)},
        {"inputs": tensors(1), "outputs": [{"name": "y" * 254, "datatype": "FP32", "shape": []}]},
        {"inputs": None, "outputs": None},
        {"inputs": tensors(1)},
    ],
)
async def test_tensors_that_are_of_no_use_leave_the_digests_known(signature, serve):
    answer = {"digestsComplete": True, "models": [{"sha256": "a" * 64, **signature}]}
    server, woken = await serve(answer), asyncio.Event()
    answers = await settle(PodReports(lambda _: woken.set()), [server.pod()], woken)
    assert answers.reports["uid-a"].models[0].sha256 == "a" * 64
    assert answers.reports["uid-a"].signature is None


@pytest.mark.parametrize(
    "inputs", [tensors(1, rank=33), tensors(1, size=-2), tensors(1, size=2**60), [{"name": "x"}], "x"]
)
async def test_tensors_that_cannot_be_are_not_believed(inputs, serve):
    answer = {"digestsComplete": True, "models": [{"sha256": "a" * 64, "inputs": inputs, "outputs": []}]}
    server, woken = await serve(answer), asyncio.Event()
    assert (await settle(PodReports(lambda _: woken.set()), [server.pod()], woken)).reports == {}


async def test_pod_that_cannot_be_reached_is_given_up(serve):
    server, woken = await serve(REPORT), asyncio.Event()
    pod = server.pod()
    pod["status"]["podIP"] = "::1"  # nobody listens there
    answers = await settle(PodReports(lambda _: woken.set()), [pod], woken)
    assert (answers.reports, answers.is_complete) == ({}, False)
