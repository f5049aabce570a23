"""Asks servers what they loaded: `GET /report` at the pod's own address, on the metrics port.

In the background: a pod that does not answer (its NetworkPolicy, its node) delays no reconciliation. A report
is asked for once in the life of a container, for a server does not change what it serves. Nothing is asked
at rest, nothing is sent along, and an answer is read no further than a report can be long.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import msgspec

from modelservice_operator.client.answers import read_body
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.observed import PodReport
from modelservice_operator.work.pods.asking import metrics_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from modelservice_operator.cache.workqueue import Key

log = logging.getLogger(__name__)

PATH = "/report"
TIMEOUT = aiohttp.ClientTimeout(total=3.0, sock_connect=1.0)
"""A server whose workers are busy answers after a second."""
LARGEST_REPORT_BYTES = 256 * 1024
CONCURRENT = 16
RETRIES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Gigabytes take a server some seconds to read; what is silent for two minutes stays so."""


class Answers(NamedTuple):
    """What the pods said, by UID."""

    reports: Mapping[str, PodReport]
    is_pending: bool = False
    """Some are still being asked; whoever waits is woken."""
    is_complete: bool = True
    """All have said what they have to say."""


@dataclass(eq=False)
class _Talk:
    """With one container."""

    url: str
    container: tuple[object, ...]
    report: PodReport | None = None
    is_final: bool = False


@dataclass(eq=False)
class _Talks:
    """With the pods of one service."""

    by_pod: dict[str, _Talk] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class PodReports:
    """Reports of ready pods; calls `wake` when there are new ones."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._services: dict[Key, _Talks] = {}
        self._places = asyncio.Semaphore(CONCURRENT)

    def of(self, key: Key, pods: Iterable[Mapping[str, Any]]) -> Answers:
        """What the ready pods have said so far; those that were not asked yet are asked now."""
        talks = self._services.setdefault(key, _Talks())
        by_pod = {str(pod["metadata"]["uid"]): _new_talk(pod) for pod in pods if podlib.is_ready(pod)}
        for uid, talk in by_pod.items():
            known = talks.by_pod.get(uid)
            by_pod[uid] = known if known is not None and known.container == talk.container else talk
        is_new = any(talk not in talks.by_pod.values() for talk in by_pod.values())
        talks.by_pod = by_pod
        if is_new:
            if talks.task is not None:
                talks.task.cancel()
            talks.task = asyncio.create_task(self._ask_all(key, talks), name=f"reports of {key.name}")
            talks.task.add_done_callback(lambda task: self._ended(key, task))
        return Answers(
            {uid: talk.report for uid, talk in by_pod.items() if talk.report is not None},
            is_pending=talks.task is not None and not talks.task.done(),
            is_complete=all(talk.is_final for talk in by_pod.values()),
        )

    def forget(self, key: Key) -> None:
        """Nobody wants to know any more."""
        talks = self._services.pop(key, None)
        if talks is not None and talks.task is not None:
            talks.task.cancel()

    async def _ask_all(self, key: Key, talks: _Talks) -> None:
        """Ask until all have said what they have to say, or have been silent for long."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            for pause_seconds in (0.0, *RETRIES_SECONDS):
                await asyncio.sleep(pause_seconds)
                open_talks = [talk for talk in talks.by_pod.values() if not talk.is_final]
                before = [talk.report for talk in open_talks]
                await asyncio.gather(*(self._ask(session, talk) for talk in open_talks))
                if all(talk.is_final for talk in talks.by_pod.values()):
                    return  # which wakes
                if before != [talk.report for talk in open_talks]:
                    self._wake(key)

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("asking pods broke", exc_info=task.exception())
        self._wake(key)

    async def _ask(self, session: aiohttp.ClientSession, talk: _Talk) -> None:
        try:
            async with self._places, session.get(talk.url, allow_redirects=False) as response:
                if response.status != 200:
                    # A runtime from before there were reports.
                    talk.is_final = response.status == 404
                    return
                raw = await read_body(response.content, LARGEST_REPORT_BYTES)
            talk.report = msgspec.json.decode(raw, type=PodReport)
            talk.is_final = talk.report.digests_complete
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("no report from %s: %s", talk.url, error)


def _new_talk(pod: Mapping[str, Any]) -> _Talk:
    server = podlib.server(pod)
    container = (server.get("containerID"), server.get("restartCount"))
    return _Talk(url=metrics_url(pod, PATH), container=container)
