"""kopf, as the operator uses it: registry, login, watch streams and lifecycle for our own two kinds.

Only `@kopf.on.event` handlers, because they cost no API call, no finalizer and no annotation; they project
an object into the store and enqueue a key. Everything else about reconciliation is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import kopf

from modelservice_operator import common_metrics

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
    from kopf._core.engines.peering import Identity

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.kinds import Resource

KOPF_IDENTITY = cast("Identity", "modelservice-operator")
"""Only peering would use it, which is off. kopf's own choice asks for the user's name: a pod's has none."""
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class _EndlessBackoff:
    """An API server that is away for an hour is no reason to end; every request starts over with 0.2 s."""

    def __iter__(self) -> Iterator[float]:
        yield from RETRY_SECONDS
        while True:
            yield RETRY_SECONDS[-1]


class _NoDiffBase(kopf.DiffBaseStorage):
    """Says that nothing ever changed: we have no change handlers, and the comparison costs half an event."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None


_NO_OBJECT = "metadata.name=-"
"""A field selector that chooses nothing: no object can have this name."""


class ReadAlready:
    """Spares kopf its first lists: it costs a millisecond for each object to find that it is no news.

    Each of these lists has just been read into the cache. Asked for with no object and at the very version
    that was read, it leads kopf's watch on from there: what changed since comes as events, deletions too. A
    list that is asked for again, after a watch has expired, is whole.
    """

    def __init__(self, versions: Mapping[str, str]) -> None:
        self._versions = dict(versions)
        """By path, of what was read; each is used once."""

    async def skip(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request, a first list without its objects; the whole one where that is refused."""
        whole = request.url
        version = None if "watch" in whole.query else self._versions.pop(whole.path, None)
        if version is None:
            return await handler(request)
        request.url = whole.update_query(
            resourceVersion=version, resourceVersionMatch="Exact", fieldSelector=_NO_OBJECT
        )
        response = await handler(request)
        if response.status == HTTPStatus.OK:
            return response
        response.release()
        request.url = whole
        return await handler(request)


def watcher_names(scopes: Sequence[str | None], kinds: Sequence[Resource]) -> tuple[str, ...]:
    """Names of the tasks that kopf runs for these kinds of ours; the watchdog looks for them."""
    return tuple(
        f"watcher for {_kopf_name(resource)}@{scope}"
        for resource in kinds
        for scope in (scopes if resource.namespaced else (None,))
    )


def _kopf_name(resource: Resource) -> str:
    return f"{resource.plural}.{resource.version}.{resource.group}"


def build_settings() -> kopf.OperatorSettings:
    """Kopf's settings, each for a hazard that was reproduced."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # peering pauses both replicas at equal priority; we have a Lease
    settings.scanning.disabled = True  # no list and watch of all CRDs
    settings.posting.enabled = False  # our recorder sends transitions only
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.3  # a worker lives this long after an object's last event
    settings.queueing.exit_timeout = 2.0
    settings.watching.chunk_size = 200  # pages of ours are as large
    settings.watching.initial_streaming = False  # loses objects when it is cut before its bookmark
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 5
    settings.watching.inactivity_timeout = 70  # bookmarks come every minute; silence is a half-open stream
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _EndlessBackoff()
    settings.persistence.diffbase_storage = _NoDiffBase()
    return settings


def build_registry(
    api: ApiClient, ingest: Ingest, kinds: Iterable[Resource], versions: Mapping[str, str]
) -> kopf.OperatorRegistry:
    """Handlers for these kinds of ours, and the login with our own connections."""
    registry = kopf.OperatorRegistry()
    lists = ReadAlready(versions)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=api.server, aiohttp_session=api.new_session(lists.skip))

    def listen(resource: Resource) -> None:
        @kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)
        async def on_event(event: Any, **_: Any) -> None:
            common_metrics.WATCH_EVENTS.labels(resource.plural).inc()
            ingest.on_event(resource, event["type"], event["object"])

    for resource in kinds:
        listen(resource)
    return registry


@dataclass(frozen=True, kw_only=True)
class KopfFlags:
    """How kopf's life is followed from outside."""

    started: asyncio.Event
    stop: asyncio.Event


async def run_kopf(
    api: ApiClient,
    ingest: Ingest,
    flags: KopfFlags,
    *,
    scopes: Sequence[str | None],
    kinds: Sequence[Resource],
    versions: Mapping[str, str],
) -> None:
    """Run kopf until `flags.stop` is set; raises what ended it otherwise.

    `versions` are those of the lists that the cache was filled from, by their path.
    """
    await kopf.operator(
        registry=build_registry(api, ingest, kinds, versions),
        settings=build_settings(),
        identity=KOPF_IDENTITY,
        clusterwide=None in scopes,
        namespaces=[scope for scope in scopes if scope is not None],
        ready_flag=flags.started,
        stop_flag=flags.stop,
    )
