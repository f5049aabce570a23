"""Asks activators whether they listen for a service: `GET /services/NAMESPACE/NAME` at the pod's own address.

In the background, until all that are asked have said so; nothing is asked at rest. An activator that was told
of a service a moment ago needs some milliseconds; one that has not heard of it after some seconds is called
silent, and is asked on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import msgspec

from modelservice_operator.client.answers import read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.facts.endpoints import Endpoint

log = logging.getLogger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=3.0, sock_connect=1.0)
LARGEST_ANSWER_BYTES = 4096
CONCURRENT = 32
OK = 200
SILENT_SECONDS = 5.0
"""A watch brings news within a second, also on a busy machine; a pod that is gone answers nothing."""
PAUSES_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Between rounds; the last one for ever."""


class Heard(NamedTuple):
    """What activators have said so far, by their addresses."""

    listening: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()


class Question(NamedTuple):
    """What is asked about one service: do you listen on these `ports`? `http_port` is where to ask."""

    ports: Mapping[str, int]
    http_port: int


@dataclass(eq=False)
class _Talk:
    """With all activators about one service."""

    question: Question
    asked: dict[Endpoint, float] = field(default_factory=dict)
    """Since when, on the monotonic clock."""
    said_yes: set[Endpoint] = field(default_factory=set)
    silent: set[Endpoint] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class _Answer(msgspec.Struct, frozen=True):
    ports: dict[str, int]


class Listening:
    """Keeps asking; calls `wake` when an answer is news."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._talks: dict[Key, _Talk] = {}
        self._places = asyncio.Semaphore(CONCURRENT)

    def heard(self, key: Key) -> Heard:
        """What was said since the service has been asked about."""
        talk = self._talks.get(key)
        if talk is None:
            return Heard()
        return Heard(
            frozenset(one.address for one in talk.said_yes),
            frozenset(one.address for one in talk.silent),
        )

    def ask(
        self, key: Key, question: Question, asked: Sequence[Endpoint], ready: Container[Endpoint]
    ) -> None:
        """Ask these activators until they have said yes; `ready` are those whose word counts still."""
        talk = self._talks.get(key)
        if talk is None or talk.question != question:
            self.forget(key)
            talk = self._talks[key] = _Talk(question)
        talk.asked = {one: talk.asked.get(one, time.monotonic()) for one in asked}
        talk.said_yes = {one for one in talk.said_yes if one in ready}
        talk.silent &= talk.asked.keys()
        if talk.asked and (talk.task is None or talk.task.done()):
            talk.task = asyncio.create_task(self._ask_on(key, talk), name=f"activators of {key.name}")
            talk.task.add_done_callback(_ended)

    def forget(self, key: Key) -> None:
        """There is nothing to ask."""
        talk = self._talks.pop(key, None)
        if talk is not None and talk.task is not None:
            talk.task.cancel()

    async def _ask_on(self, key: Key, talk: _Talk) -> None:
        """Ask until all have said yes."""
        pauses = iter(PAUSES_SECONDS)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            while talk.asked:
                before = (set(talk.said_yes), set(talk.silent))
                await asyncio.gather(*(self._ask(session, key, talk, one) for one in list(talk.asked)))
                if before != (talk.said_yes, talk.silent):
                    self._wake(key)
                await asyncio.sleep(next(pauses, PAUSES_SECONDS[-1]))

    async def _ask(self, session: aiohttp.ClientSession, key: Key, talk: _Talk, one: Endpoint) -> None:
        listens = await self._listens(session, key, talk.question, one)
        since = talk.asked.get(one)
        if since is None:
            return  # it has gone meanwhile
        if listens:
            del talk.asked[one]
            talk.silent.discard(one)
            talk.said_yes.add(one)
        elif time.monotonic() - since >= SILENT_SECONDS:
            talk.silent.add(one)

    async def _listens(
        self, session: aiohttp.ClientSession, key: Key, question: Question, one: Endpoint
    ) -> bool:
        host = f"[{one.address}]" if ":" in one.address else one.address
        url = f"http://{host}:{question.http_port}/services/{key.namespace}/{key.name}"
        try:
            async with self._places, session.get(url, allow_redirects=False) as response:
                if response.status != OK:
                    return False
                raw = await read_body(response.content, LARGEST_ANSWER_BYTES)
            return msgspec.json.decode(raw, type=_Answer).ports == question.ports
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("no answer from %s: %s", url, error)
            return False


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("asking activators broke", exc_info=task.exception())
