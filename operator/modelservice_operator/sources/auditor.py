"""The auditor compares the cache with the API server, and mends the cache.

Watches can lose things: a deletion during a gap is never delivered, a stream can be cut at a bad moment.
So every few minutes everything is listed (names and versions only) and compared. The first run, with whole
ModelServices and ModelRuntimes, is the barrier before which no worker starts: a decision on half a cache
could delete what is merely not yet seen.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, NamedTuple

from modelservice_operator import metrics
from modelservice_operator.cache.store import is_newer
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.facts.errors import ApiError, NotFoundError, OperatorError
from modelservice_operator.facts.kinds import (
    CHILDREN,
    MODEL_RUNTIMES,
    MODEL_SERVICES,
    OPTIONAL_CHILDREN,
    Resource,
    selector_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store
    from modelservice_operator.client.kubeapi import ApiClient

log = logging.getLogger(__name__)

SETTLE_SECONDS = 3.0
"""What differs may be on its way through a watch; only what still differs after this time is a fault."""


class Seen(NamedTuple):
    """Identity and version of one object."""

    namespace: str
    name: str
    uid: str
    resource_version: str


class Auditor:
    """Lists, compares, corrects."""

    def __init__(
        self,
        api: ApiClient,
        store: Store,
        ingest: Ingest,
        *,
        scopes: Sequence[str | None],
        kinds: Sequence[Resource],
    ) -> None:
        self._api = api
        self._store = store
        self._ingest = ingest
        self._scopes = scopes
        """The namespaces to look at, each for itself; None for all."""
        self._kinds = kinds
        """Those of ours that are read from the cluster, in the order in which they are read at first."""

    async def fill(self) -> dict[str, str]:
        """Read all ModelRuntimes and ModelServices; raises ApiError.

        Returns the resourceVersion of each list by its path: a watch from there misses nothing.
        """
        versions = {}
        for resource in self._kinds:
            for scope in self._scopes_of(resource):
                async for page in self._api.list_pages(resource, scope):
                    versions[resource.path(scope)] = page.metadata.resource_version
                    for item in page.items or ():
                        self._ingest.on_event(resource, None, item)
                    await asyncio.sleep(0)
        self._count()
        return versions

    async def run(self, interval_seconds: float) -> None:
        """Audit for ever, at jittered intervals."""
        while True:
            await asyncio.sleep(interval_seconds * (0.8 + 0.4 * random.random()))  # noqa: S311  jitter
            offered = [one for one in OPTIONAL_CHILDREN if one.kind in self._store.cluster.kinds]
            for resource in (*self._kinds, *CHILDREN, *offered):
                for scope in self._scopes_of(resource):
                    try:
                        await self.audit(resource, scope)
                    except ApiError as error:
                        log.warning("audit of %s failed: %s", resource.plural, error.message)
            self._count()

    def _count(self) -> None:
        for kind, count in self._store.counts().items():
            metrics.OBJECTS.labels(kind).set(count)

    def _scopes_of(self, resource: Resource) -> Sequence[str | None]:
        return self._scopes if resource.namespaced else (None,)

    async def audit(
        self, resource: Resource, scope: str | None = None, settle_seconds: float = SETTLE_SECONDS
    ) -> int:
        """Compare one kind in a namespace (None: all) with the API server; returns what was corrected."""
        listed, version = await self._list(resource, scope)
        cached = {
            (one.namespace, one.name): one for one in self._cached(resource) if scope in (None, one.namespace)
        }
        if any(is_newer(one.resource_version, version) for one in cached.values()):
            await self._check_history(resource, scope, cached)
        missing = [one for place, one in listed.items() if _is_behind(cached.get(place), one)]
        left_over = [one for place, one in cached.items() if place not in listed]
        if not missing and not left_over:
            return 0
        await asyncio.sleep(settle_seconds)
        corrections = 0
        for one in missing:
            corrections += await self._fetch(resource, one)
        for one in left_over:
            corrections += self._drop(resource, one, version)
        if corrections:
            metrics.AUDIT_CORRECTIONS.labels(resource.kind).inc(corrections)
            log.warning("the audit corrected %d cached %s", corrections, resource.plural)
        return corrections

    async def _list(self, resource: Resource, scope: str | None) -> tuple[dict[tuple[str, str], Seen], str]:
        listed: dict[tuple[str, str], Seen] = {}
        version = ""
        pages = self._api.list_pages(resource, scope, metadata_only=True, selector=selector_of(resource))
        async for page in pages:
            version = page.metadata.resource_version
            for item in page.items or ():
                metadata = item["metadata"]
                place = (metadata.get("namespace", ""), metadata["name"])
                listed[place] = Seen(*place, metadata["uid"], metadata["resourceVersion"])
            await asyncio.sleep(0)
        return listed, version

    def _cached(self, resource: Resource) -> Iterator[Seen]:
        if resource is MODEL_SERVICES:
            for key in self._store.service_keys():
                entry = self._store.service(key)
                if entry is not None:
                    yield Seen(key.namespace, key.name, entry.uid, entry.resource_version)
        elif resource is MODEL_RUNTIMES:
            for runtime in self._store.runtimes():
                metadata = runtime["metadata"]
                yield Seen("", metadata["name"], metadata["uid"], metadata["resourceVersion"])
        else:
            for child in self._store.children(resource.kind):
                yield Seen(child.namespace, child.name, child.uid, child.resource_version)

    async def _check_history(
        self, resource: Resource, scope: str | None, cached: dict[tuple[str, str], Seen]
    ) -> None:
        """A list that is older than the cache is normal for a moment, never twice.

        If it stays so, the cluster's store was restored from a backup: nothing cached means anything.
        """
        _, version = await self._list(resource, scope)
        if any(is_newer(one.resource_version, version) for one in cached.values()):
            raise OperatorError(
                "The API server's history went backwards (was etcd restored?): starting with a new cache."
            )

    async def _fetch(self, resource: Resource, one: Seen) -> int:
        if not _is_behind(self._find(resource, one), one):
            return 0
        try:
            obj = await self._api.get(resource, one.namespace or None, one.name)
        except NotFoundError:
            return 0
        self._ingest.on_event(resource, "MODIFIED", obj)
        return 1

    def _drop(self, resource: Resource, one: Seen, version: str) -> int:
        known = self._find(resource, one)
        if known is None or known.uid != one.uid or is_newer(known.resource_version, version):
            return 0
        metadata = {
            "namespace": one.namespace,
            "name": one.name,
            "uid": one.uid,
            "resourceVersion": version,
        }
        self._ingest.on_event(resource, "DELETED", {"metadata": metadata})
        return 1

    def _find(self, resource: Resource, one: Seen) -> Seen | None:
        """The cached counterpart of an object, by name."""
        if resource is MODEL_SERVICES:
            entry = self._store.service(Key(one.namespace, one.name))
            return Seen(one.namespace, one.name, entry.uid, entry.resource_version) if entry else None
        if resource is MODEL_RUNTIMES:
            return next((known for known in self._cached(resource) if known.name == one.name), None)
        child = self._store.child(resource.kind, one.namespace, one.name)
        return Seen(one.namespace, one.name, child.uid, child.resource_version) if child else None


def _is_behind(cached: Seen | None, listed: Seen) -> bool:
    return cached is None or is_newer(listed.resource_version, cached.resource_version)
