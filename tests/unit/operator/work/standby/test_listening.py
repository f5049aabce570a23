"""Asking activators whether they listen: until they say so, on these very ports, and not after that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.endpoints import Endpoint
from modelservice_operator.work.standby import listening
from modelservice_operator.work.standby.listening import Heard, Listening, Question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KEY = Key("mail", "spam")
PORTS = {"http": 20000, "grpc": 20001}
POD = Endpoint(address="127.0.0.1", pod="activator-1", pod_uid="uid-1")


class Activator:
    """Listens on `ports` once they are set; answers 404 before, as a real one does."""

    def __init__(self) -> None:
        self.ports: dict[str, int] | None = None
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.http_port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.put_nowait(request.path)
        if self.ports is None:
            return web.json_response({"error": "unknown"}, status=404)
        return web.json_response({"ports": self.ports})


@pytest.fixture
async def activator() -> AsyncIterator[Activator]:
    found = Activator()
    application = web.Application()
    application.router.add_get("/services/{namespace}/{name}", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.http_port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


class Asking:
    """The one that asks, and whom it wakes."""

    def __init__(self, activator: Activator) -> None:
        self.woken = asyncio.Event()
        self.listening = Listening(lambda _: self.woken.set())
        self.question = Question(PORTS, activator.http_port)

    def ask(self, *asked: Endpoint, ready: tuple[Endpoint, ...] = (POD,)) -> None:
        self.listening.ask(KEY, self.question, asked, ready)

    async def wait_for(self, condition: Callable[[Heard], bool]) -> Heard:
        while not condition(self.listening.heard(KEY)):
            await self.woken.wait()
            self.woken.clear()
        return self.listening.heard(KEY)


@pytest.fixture
async def asking(activator: Activator) -> AsyncIterator[Asking]:
    found = Asking(activator)
    yield found
    found.listening.forget(KEY)


async def test_activator_is_asked_until_it_listens_and_then_no_more(
    activator: Activator, asking: Asking
) -> None:
    asking.ask(POD)
    assert [await activator.asked.get() for _ in range(2)] == ["/services/mail/spam"] * 2
    assert asking.listening.heard(KEY) == Heard()
    activator.ports = PORTS
    heard = await asking.wait_for(lambda said: bool(said.listening))
    assert heard == Heard(frozenset({POD.address}))
    asked = activator.asked.qsize()
    asking.ask()  # as the next decision does, which knows the answer
    assert asking.listening.heard(KEY) == heard
    await asyncio.sleep(0.2)
    assert activator.asked.qsize() == asked


async def test_activator_that_listens_on_other_ports_has_not_heard_of_the_change(
    activator: Activator, asking: Asking
) -> None:
    activator.ports = {"http": 20002, "grpc": 20003}
    asking.ask(POD)
    for _ in range(3):
        await activator.asked.get()
    assert asking.listening.heard(KEY) == Heard()


async def test_activator_that_does_not_answer_for_long_is_silent_and_may_still_speak(
    activator: Activator, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SILENT_SECONDS", 0.0)
    asking.ask(POD)
    heard = await asking.wait_for(lambda said: bool(said.silent))
    assert heard == Heard(silent=frozenset({POD.address}))
    activator.ports = PORTS
    heard = await asking.wait_for(lambda said: bool(said.listening))
    assert heard == Heard(frozenset({POD.address}))


async def test_word_of_an_activator_that_is_not_ready_any_more_does_not_count(
    activator: Activator, asking: Asking
) -> None:
    activator.ports = PORTS
    asking.ask(POD)
    await asking.wait_for(lambda said: bool(said.listening))
    asking.ask(ready=())
    assert asking.listening.heard(KEY) == Heard()


async def test_another_question_is_asked_anew(activator: Activator, asking: Asking) -> None:
    activator.ports = PORTS
    asking.ask(POD)
    await asking.wait_for(lambda said: bool(said.listening))
    asking.question = asking.question._replace(ports={"http": 20000})
    asking.ask(POD)
    assert asking.listening.heard(KEY) == Heard()
    activator.ports = {"http": 20000}
    await asking.wait_for(lambda said: bool(said.listening))
