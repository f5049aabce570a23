"""Our list and watch: it resumes, lists again when it must, finds lost deletions and never spins."""

import asyncio
import json

import pytest
from aiohttp import web
from tests.support.operator_objects import make_child

from modelservice_operator.cache.ingest import Ingest
from modelservice_operator.cache.store import Store
from modelservice_operator.cache.workqueue import WorkQueue
from modelservice_operator.facts.kinds import DEPLOYMENTS, HTTP_ROUTES
from modelservice_operator.sources import offers as offers_module
from modelservice_operator.sources import watch as watch_module
from modelservice_operator.sources.children import ChildListener
from modelservice_operator.sources.offers import Absence, Offers
from modelservice_operator.sources.watch import ResourceWatch


def make_watch(api, store: Store) -> ResourceWatch:
    listener = ChildListener(store, Ingest(store, WorkQueue()), DEPLOYMENTS)
    return ResourceWatch(api, DEPLOYMENTS, listener, selector="a=b")


def make_optional_watch(api, store: Store) -> ResourceWatch:
    listener = ChildListener(store, Ingest(store, WorkQueue()), HTTP_ROUTES)
    return ResourceWatch(api, HTTP_ROUTES, listener, absence=Absence(listener.on_absent, Offers(api)))


def make_groups(*versions: str) -> dict[str, object]:
    return {"groups": [{"versions": [{"groupVersion": one}]} for one in versions]}


class Script:
    """Answers lists and watches of Deployments; each watch gets the next batch of lines, then ends."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, list[dict]]] = []
        self.watches: list[list[dict] | int] = []
        self.since: list[str] = []
        self.listed = 0
        self.all_seen = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            version, items = self.lists[min(self.listed, len(self.lists) - 1)]
            self.listed += 1
            return web.json_response({"metadata": {"resourceVersion": version}, "items": items})
        self.since.append(request.query["resourceVersion"])
        if not self.watches:
            self.all_seen.set()
            await asyncio.sleep(60)
        batch = self.watches.pop(0)
        if isinstance(batch, int):
            return web.json_response({"message": "refused"}, status=batch)
        return web.Response(text="".join(json.dumps(one) + "\n" for one in batch))


def event(kind: str, version: int, **fields) -> dict:
    return {"type": kind, "object": make_child(version=version, **fields)}


@pytest.fixture
async def follow(api, server, monkeypatch):
    """Run a watch on a script until all its watches were used."""
    monkeypatch.setattr(watch_module, "BASE_BACKOFF_SECONDS", 0.001)
    tasks = []

    async def run(script: Script) -> Store:
        server.answer(script)
        store = Store()
        watch = make_watch(api, store)
        tasks.append(asyncio.create_task(watch.run()))
        await asyncio.wait_for(script.all_seen.wait(), 120)
        assert watch.listed.is_set()
        return store

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def names(store: Store) -> set[str]:
    return {child.name for child in store.children("Deployment")}


async def test_watch_resumes_from_the_last_event_and_bookmark(follow):
    script = Script()
    script.lists = [("10", [])]
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "20"}}}
    script.watches = [[event("ADDED", 12, name="a")], [bookmark]]
    store = await follow(script)
    assert script.since == ["10", "12", "20"]
    assert script.listed == 1
    assert names(store) == {"a"}


@pytest.mark.parametrize(
    "gone", [410, [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]], ids=["http", "stream"]
)
async def test_expired_watch_lists_again_and_finds_lost_deletions(follow, gone):
    script = Script()
    kept, lost = make_child(name="kept", version=5), make_child(name="lost", version=6)
    script.lists = [("10", [kept, lost]), ("30", [kept])]
    script.watches = [gone]
    store = await follow(script)
    assert script.listed == 2
    assert script.since == ["10", "30"]
    assert names(store) == {"kept"}


async def test_new_list_keeps_what_was_written_after_it(follow):
    script = Script()
    script.lists = [("10", []), ("30", [])]
    script.watches = [[event("ADDED", 31, name="answer-of-a-write")], 410]
    assert names(await follow(script)) == {"answer-of-a-write"}


async def test_refused_watch_resumes_and_lists_again_only_after_several_refusals(follow):
    script = Script()
    script.lists = [("10", [])]
    script.watches = [500, 503]
    await follow(script)
    assert (script.listed, script.since) == (1, ["10", "10", "10"])
    script = Script()
    script.lists = [("10", [])]
    script.watches = [500] * 6
    await follow(script)
    assert script.listed == 3


async def test_immediate_end_again_and_again_backs_off(api, server):
    script = Script()
    script.lists = [("10", [])]
    script.watches = [[] for _ in range(1000)]
    server.answer(script)
    store = Store()
    task = asyncio.create_task(make_watch(api, store).run())
    async with asyncio.timeout(120):
        while not script.since:  # noqa: ASYNC110 - what it waits for is a request to a server
            await asyncio.sleep(0.01)
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # 0.25-0.5, 0.5-1 s ...: at most three tries in a second.
    assert 1 <= len(script.since) <= 4


async def test_deleted_event_removes_the_child(follow):
    script = Script()
    script.lists = [("10", [make_child(name="a", version=5)])]
    script.watches = [[event("DELETED", 11, name="a")]]
    assert names(await follow(script)) == set()


@pytest.mark.parametrize(("status", "is_forbidden"), [(404, False), (403, True)])
async def test_kind_that_is_not_there_holds_nobody_up_and_is_found_when_it_comes(
    api, server, monkeypatch, status, is_forbidden
):
    monkeypatch.setattr(offers_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "CONFIRM_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "BASE_BACKOFF_SECONDS", 0.001)
    script, is_there = Script(), asyncio.Event()
    script.lists = [("10", [make_child(name="spam", version=5)])]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/apis":
            return web.json_response(make_groups(HTTP_ROUTES.api_version if is_there.is_set() else "a/v1"))
        if not is_there.is_set():
            return web.json_response({"message": "no such kind"}, status=status)
        return await script(request)

    server.answer(answer)
    store = Store()
    watch = make_optional_watch(api, store)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.listed.wait(), 120)
    assert "HTTPRoute" not in store.cluster.kinds
    assert ("HTTPRoute" in store.cluster.forbidden) == is_forbidden

    is_there.set()
    await asyncio.wait_for(script.all_seen.wait(), 120)
    assert (store.cluster.kinds, store.cluster.forbidden) == ({"HTTPRoute"}, frozenset())
    assert [one.name for one in store.children("HTTPRoute")] == ["spam"]
    task.cancel()


async def test_kind_that_goes_takes_its_objects_along(api, server, monkeypatch):
    monkeypatch.setattr(offers_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "CONFIRM_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "BASE_BACKOFF_SECONDS", 0.001)
    script, lists, gone = Script(), 0, asyncio.Event()
    script.lists = [("10", [make_child(name="spam", version=5)])]
    script.watches = [410]

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal lists
        lists += request.query.get("watch") != "true"
        if lists > 2:
            gone.set()  # the first refusal was dealt with
        if lists > 1:
            return web.json_response({"message": "no such kind"}, status=404)
        return await script(request)

    server.answer(answer)
    store = Store()
    task = asyncio.create_task(make_optional_watch(api, store).run())
    await asyncio.wait_for(gone.wait(), 120)
    assert not store.cluster.kinds
    assert list(store.children("HTTPRoute")) == []
    task.cancel()


async def test_kind_that_is_unknown_for_a_moment_is_not_gone(api, server, monkeypatch):
    # As of an API server that has just started.
    monkeypatch.setattr(watch_module, "CONFIRM_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "BASE_BACKOFF_SECONDS", 0.001)
    script, refused = Script(), [False]
    script.lists = [("10", [make_child(name="spam", version=5)])]
    script.watches = [410]

    async def answer(request: web.Request) -> web.StreamResponse:
        if script.listed == 1 and script.since and not refused[0]:
            refused[0] = True
            return web.json_response({"message": "no such kind"}, status=404)
        return await script(request)

    server.answer(answer)
    store = Store()
    offered: list[bool] = []
    monkeypatch.setattr(Store, "forget_children", lambda *_: offered.append(False))
    task = asyncio.create_task(make_optional_watch(api, store).run())
    await asyncio.wait_for(script.all_seen.wait(), 120)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert refused == [True]
    assert offered == []
    assert "HTTPRoute" in store.cluster.kinds
