"""kopf starts wherever a pod may run."""

from __future__ import annotations

import asyncio
import pwd
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES
from modelservice_operator.sources.framework import KopfFlags, run_kopf, watcher_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.client.kubeapi import ApiClient


@dataclass
class UnreachableApi:
    """An API server that is not there: starting needs no answer from it."""

    server: str = "http://127.0.0.1:1"

    def new_session(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(middlewares=middlewares)


async def test_run_kopf_user_without_a_name_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and OpenShift run us as a number that no /etc/passwd knows."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    flags = KopfFlags(started=asyncio.Event(), stop=asyncio.Event())
    kopf_run = asyncio.create_task(
        run_kopf(
            cast("ApiClient", UnreachableApi()),
            cast("Ingest", None),
            flags,
            scopes=("mail", "shop"),
            kinds=(MODEL_SERVICES,),
            versions={},
        )
    )
    started = asyncio.create_task(flags.started.wait())
    done, _ = await asyncio.wait({kopf_run, started}, timeout=120, return_when=asyncio.FIRST_COMPLETED)
    assert started in done, kopf_run.exception()
    flags.stop.set()
    await asyncio.wait_for(kopf_run, timeout=120)


def test_watcher_names_each_namespace_has_a_watcher_and_the_cluster_one() -> None:
    assert watcher_names(("mail", "shop"), (MODEL_RUNTIMES, MODEL_SERVICES)) == (
        "watcher for modelruntimes.v1alpha1.modelservice.dev@None",
        "watcher for modelservices.v1alpha1.modelservice.dev@mail",
        "watcher for modelservices.v1alpha1.modelservice.dev@shop",
    )


SERVICES_PATH = MODEL_SERVICES.path(None)
RESOURCES = {
    "resources": [
        {
            "name": one,
            "singularName": one[:-1],
            "kind": kind,
            "namespaced": namespaced,
            "verbs": ["list", "watch"],
        }
        for one, kind, namespaced in (
            (MODEL_SERVICES.plural, MODEL_SERVICES.kind, True),
            ("customresourcedefinitions", "CustomResourceDefinition", False),
            ("namespaces", "Namespace", False),
            ("events", "Event", True),
        )
    ]
}


class PlayedApi:
    """An API server with one ModelService, of version 7, whose watches all expire; notes what is asked."""

    def __init__(self, *, refuses_versions: bool = False) -> None:
        self.lists: list[dict[str, str]] = []
        self.watches: list[str | None] = []
        self._refuses_versions = refuses_versions

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer what kopf asks: what there is, a list or a watch."""
        if request.path != SERVICES_PATH:
            return web.json_response(self._discovery(request.path))
        if "watch" in request.query:
            self.watches.append(request.query.get("resourceVersion"))
            return web.json_response({"type": "ERROR", "object": {"code": 410}})
        self.lists.append(dict(request.query))
        if "resourceVersion" not in request.query:
            return self._list("9", [{"metadata": {"name": "spam", "namespace": "mail", "uid": "u"}}])
        if self._refuses_versions:
            return web.json_response({"kind": "Status", "code": 410}, status=410)
        return self._list(request.query["resourceVersion"], [])

    def _list(self, version: str, items: list[dict[str, object]]) -> web.Response:
        return web.json_response(
            {"kind": "ModelServiceList", "metadata": {"resourceVersion": version}, "items": items}
        )

    def _discovery(self, path: str) -> dict[str, object]:
        groups = (MODEL_SERVICES.group, "apiextensions.k8s.io")
        one = {"version": MODEL_SERVICES.version}
        known: dict[str, dict[str, object]] = {
            "/api": {"versions": ["v1"]},
            "/apis": {
                "groups": [{"name": name, "versions": [one], "preferredVersion": one} for name in groups]
            },
        }
        return known.get(path, RESOURCES)


@asynccontextmanager
async def kopf_beside(api: PlayedApi, versions: dict[str, str]) -> AsyncIterator[list[object]]:
    """Run kopf; yields the events that it brings."""
    application = web.Application()
    application.router.add_get("/{path:.*}", api.answer)
    events: list[object] = []
    ingest = SimpleNamespace(on_event=lambda _, event, obj: events.append((event, obj["metadata"]["name"])))
    flags = KopfFlags(started=asyncio.Event(), stop=asyncio.Event())
    async with TestServer(application) as server:
        task = asyncio.create_task(
            run_kopf(
                cast("ApiClient", UnreachableApi(str(server.make_url("")).rstrip("/"))),
                cast("Ingest", ingest),
                flags,
                scopes=(None,),
                kinds=(MODEL_SERVICES,),
                versions=versions,
            )
        )
        yield events
        flags.stop.set()
        await asyncio.wait_for(task, timeout=120)


async def wait_for_event(events: list[object]) -> None:
    async with asyncio.timeout(120):
        while not events:  # noqa: ASYNC110  nothing else tells
            await asyncio.sleep(0.01)


async def test_run_kopf_what_was_read_already_is_watched_from_there_and_listed_again_when_that_expired():
    api = PlayedApi()
    async with kopf_beside(api, {SERVICES_PATH: "7"}) as events:
        await wait_for_event(events)
    first, second = api.lists[:2]
    assert (first["resourceVersion"], first["resourceVersionMatch"]) == ("7", "Exact")
    assert first["fieldSelector"] == "metadata.name=-"
    assert api.watches[0] == "7"
    assert second == {"limit": first["limit"]}
    assert events[0] == (None, "spam")


async def test_run_kopf_version_that_is_not_known_any_more_lists_everything():
    api = PlayedApi(refuses_versions=True)
    async with kopf_beside(api, {SERVICES_PATH: "7"}) as events:
        await wait_for_event(events)
    assert ["resourceVersion" in one for one in api.lists[:2]] == [True, False]
    assert api.watches[0] == "9"
