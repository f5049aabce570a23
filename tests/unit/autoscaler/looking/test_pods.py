"""The questions to pods: whatever a pod does, it costs a second and a few bytes."""

import asyncio

import pytest
from aiohttp import web
from tests.unit.autoscaler.objects import make_answer

from modelservice_autoscaler.looking import pods as pods_module
from modelservice_autoscaler.looking.looks import Looks
from modelservice_autoscaler.looking.pods import PodClient
from modelservice_autoscaler.watching.endpoints import Endpoint


class Pod:
    """A pod on loopback; `answers` come one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[bytes | web.Response | Exception] = [make_answer()]
        self.asked = 0
        self.peers: set[object] = set()
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        await asyncio.sleep(60)
        raise answer


@pytest.fixture
async def pod():
    played = Pod()
    application = web.Application()
    application.router.add_get("/load", played.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    played.port = runner.addresses[0][1]
    yield played
    await runner.cleanup()


@pytest.fixture
async def client(pod):
    async with PodClient(pod.port) as opened:
        yield opened


async def test_pod_is_asked_over_one_kept_connection(client, pod):
    for _ in range(3):
        answer = await client.ask("127.0.0.1")
        assert answer is not None
        assert answer.load.requests == 1000
    assert (pod.asked, len(pod.peers)) == (3, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b" " * (pods_module.LARGEST_ANSWER_BYTES + 1),
        web.Response(status=503, body=make_answer()),
        web.Response(status=302, headers={"Location": "/load"}, body=make_answer()),
        TimeoutError(),
    ],
    ids=["no answer", "too long", "error", "redirect", "silent"],
)
async def test_pod_that_does_not_answer_as_it_should_is_missing_once(client, pod, answer, monkeypatch):
    monkeypatch.setattr(pods_module, "TIMEOUT", pods_module.aiohttp.ClientTimeout(total=0.2))
    pod.answers = [answer, make_answer()]
    assert await client.ask("127.0.0.1") is None
    assert pod.asked == 1
    assert await client.ask("127.0.0.1") is not None


async def test_pod_whose_answer_says_that_it_is_compressed_unpacks_nothing_here(client, pod):
    pod.answers = [web.Response(headers={"Content-Encoding": "gzip"}, body=make_answer())]
    assert await client.ask("127.0.0.1") is not None


async def test_pod_that_is_gone_is_missing():
    async with PodClient(port=1) as client:
        assert await client.ask("127.0.0.1") is None


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


A = Endpoint("a", "127.0.0.1")


async def test_looks_keep_the_newest_answer_of_ready_pods_and_forget_others(client, pod):
    clock = Clock()
    looks = Looks(client, clock)
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    clock.now = 5.0
    pod.answers = [b"{}"]
    await looks.look([A, Endpoint("c", "127.0.0.1")])
    assert set(looks.samples) == {"a", "c"}
    assert looks.samples["c"] is None
    assert looks.samples["a"] is not None
    assert looks.samples["a"].at_seconds == 0.0


async def test_service_is_idle_as_long_as_its_busiest_pod_and_only_where_all_answer(client, pod):
    looks = Looks(client, Clock())
    assert looks.idle_seconds is None
    await looks.look([])
    assert looks.idle_seconds is None
    pod.answers = [make_answer(idleSeconds=400.0), make_answer(idleSeconds=20.0), make_answer()]
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    assert looks.idle_seconds == 20.0
    pod.answers = [make_answer(idleSeconds=400.0), b"{}"]
    await looks.look([A, Endpoint("b", "127.0.0.1")])
    assert looks.idle_seconds is None


async def test_service_is_busy_where_requests_were_in_a_pod_between_two_looks(client, pod):
    looks = Looks(client, Clock())
    await looks.look([A])
    await looks.look([A])
    assert not looks.is_busy
    pod.answers = [make_answer(requests=1001)]
    await looks.look([A])
    assert looks.is_busy
    await looks.look([A])
    assert not looks.is_busy
    pod.answers = [b"{}"]
    await looks.look([A, Endpoint("new", "127.0.0.1")])
    assert looks.is_busy
