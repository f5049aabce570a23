"""Services that share one list of pods: who waits, for how long, and what each finds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from modelservice_operator.cache.workqueue import Key
from modelservice_operator.client.answers import ListMeta, Page
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.labels import NAME
from modelservice_operator.work.pods import rounds as rounds_module
from modelservice_operator.work.pods.rounds import MOST_SERVICES, Rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def make_pod(service: str) -> dict[str, Any]:
    return {"metadata": {"name": f"{service}-1", "labels": {NAME: service}}}


class Cluster:
    """Pods in memory; notes what is listed, what readers are handed, and who is woken."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.lists: list[tuple[str, str]] = []
        self.taken: dict[Key, list[dict[str, Any]]] = {}
        self.asked: set[Key] = set()
        """Services whose pods are asked, which wakes them."""
        self.woken: list[Key] = []
        self.error: ApiError | None = None
        self.changed = asyncio.Event()
        self.rounds = Rounds(self, self, self.wake)  # type: ignore[arg-type]

    async def list_pages(self, _: object, namespace: str, *, selector: str) -> AsyncIterator[Page]:
        self.lists.append((namespace, selector))
        if self.error is not None:
            raise self.error
        names = selector.partition(" in (")[2].rstrip(")").split(",")
        found = [pod for pod in self.pods if pod["metadata"]["labels"][NAME] in names]
        yield Page(ListMeta(), found)

    def take(self, key: Key, pods: list[dict[str, Any]]) -> bool:
        self.taken[key] = pods
        return key in self.asked

    def wake(self, key: Key) -> None:
        self.woken.append(key)
        self.changed.set()

    async def turn_of(self, *keys: Key) -> None:
        """Let them join, and wait until all were called."""
        for key in keys:
            assert not self.rounds.is_turn(key)
        async with asyncio.timeout(60):
            for key in keys:
                await self.woken_up(key)

    async def woken_up(self, key: Key) -> None:
        while key not in self.woken:
            self.changed.clear()
            await self.changed.wait()


@pytest.fixture
async def cluster(monkeypatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(rounds_module, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(rounds_module, "PAUSE_SECONDS", 0.001)
    cluster = Cluster()
    task = asyncio.create_task(cluster.rounds.run())
    yield cluster
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_services_of_a_namespace_share_one_list_and_each_gets_its_own_pods(cluster):
    cluster.pods = [make_pod("a"), make_pod("b"), make_pod("b"), make_pod("other")]
    await cluster.turn_of(Key("mail", "a"), Key("mail", "b"), Key("mail", "c"))
    assert cluster.lists == [("mail", f"{NAME} in (a,b,c)")]
    assert {key.name: len(pods) for key, pods in cluster.taken.items()} == {"a": 1, "b": 2, "c": 0}
    assert cluster.rounds.is_turn(Key("mail", "a"))


async def test_service_whose_pods_are_asked_is_left_to_be_woken_by_what_they_say(cluster):
    asked, other = Key("mail", "a"), Key("mail", "b")
    cluster.asked = {asked}
    assert not cluster.rounds.is_turn(asked)
    await cluster.turn_of(other)
    assert (cluster.woken, cluster.rounds.is_turn(asked)) == ([other], True)


async def test_namespaces_are_listed_each_for_itself(cluster):
    await cluster.turn_of(Key("mail", "a"), Key("post", "a"))
    assert {namespace for namespace, _ in cluster.lists} == {"mail", "post"}


async def test_no_list_is_for_more_services_than_can_be_compared_while_it_is_fresh(cluster):
    await cluster.turn_of(*(Key("mail", f"m{number}") for number in range(MOST_SERVICES + 1)))
    assert len(cluster.lists) == 2


async def test_services_are_called_though_their_pods_cannot_be_read(cluster):
    cluster.error = ApiError("no", status=403)
    await cluster.turn_of(Key("mail", "a"))
    assert cluster.rounds.is_turn(Key("mail", "a"))
    assert cluster.taken == {}


async def test_service_that_left_is_neither_listed_nor_called(cluster):
    gone, other = Key("mail", "gone"), Key("mail", "other")
    cluster.rounds.is_turn(gone)
    cluster.rounds.leave(gone)
    await cluster.turn_of(other)
    assert cluster.woken == [other]
    assert cluster.lists == [("mail", f"{NAME} in (other)")]


async def test_service_that_left_after_its_turn_waits_for_the_next_one(cluster):
    key = Key("mail", "a")
    await cluster.turn_of(key)
    cluster.rounds.leave(key)
    assert not cluster.rounds.is_turn(key)
