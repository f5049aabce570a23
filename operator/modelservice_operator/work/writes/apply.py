"""The only writes to children: apply what is desired, delete what is retired, touch nothing else's.

Ownership comes before every write. An object that carries our owner reference is ours, by UID. A name that
the cache does not know is looked up live first, because a forced apply would adopt whatever is there and
a watch by label would not have shown it. Later writes carry the UID that was seen: the API server refuses
them if the object has been replaced or has gone.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelservice_operator.cache.ingest import project_child
from modelservice_operator.facts.errors import ApiError, ConflictError, NotFoundError, apply_failure
from modelservice_operator.facts.fields.canonical import canonicalise, fingerprint
from modelservice_operator.facts.fields.takeover import plan_takeover
from modelservice_operator.facts.kinds import CHILD_BY_KIND, MODEL_SERVICES, Resource
from modelservice_operator.facts.labels import MANAGED_BY, MANAGER, NAME, REVISION
from modelservice_operator.facts.observed import ApplyFailure, Child, DeploymentChild
from modelservice_operator.work.writes.rewrites import Rewrites

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store
    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient

PARALLEL_WRITES = 16
"""Of all workers together: more only queue inside the API server (measured)."""
TAKEOVER_ATTEMPTS = 3
"""A Deployment's controller writes its status just when somebody has edited it."""
INVALID = 422
"""The HTTP status of an object that would break a rule of its kind."""
NOTHING_MANAGED = fingerprint({})
"""The fingerprint of an object in which our field manager owns nothing."""
CONFLICT_RECHECK_SECONDS = 5.0
"""A foreign object is not watched: look again after 5 to 15 seconds, so that removing it heals quickly."""

FIRST = frozenset({"ControllerRevision", "ServiceAccount", "NetworkPolicy"})
"""Kinds that must exist before a Deployment of theirs is written; the others do not wait for each other."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The ModelService on whose behalf something is written."""

    key: Key
    uid: str


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What one pass of writes came to."""

    failures: tuple[ApplyFailure, ...] = ()
    written: frozenset[str] = frozenset()
    """Kinds of which at least one object was written or deleted."""
    retry_after_seconds: float = 0.0
    """The longest Retry-After that the API server asked for."""

    @property
    def is_hopeless(self) -> bool:
        """The namespace is on its way out: retrying would only fail until it is gone."""
        return any(failure.reason == "NamespaceTerminating" for failure in self.failures)

    @property
    def recheck_seconds(self) -> float | None:
        """When to look again if name conflicts are all that is wrong; None where a backoff is due."""
        if not self.failures or any(failure.reason != "NameConflict" for failure in self.failures):
            return None
        return CONFLICT_RECHECK_SECONDS * (1 + 2 * random.random())  # noqa: S311  jitter is no secret


@dataclass(kw_only=True)
class _Write:
    """One desired object on its way."""

    resource: Resource
    body: dict[str, Any]
    intended: str
    """Fingerprint of the desired object."""
    child: Child | None
    """The object as cached; None where the name must be looked up."""
    failure: ApplyFailure | None = None
    is_written: bool = False
    retry_after_seconds: float = 0.0

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    def fail(self, error: ApiError) -> None:
        self.failure = apply_failure(error, self.resource.kind, self.name)
        self.retry_after_seconds = error.retry_after_seconds or 0.0

    def refuse(self, reason: str, message: str, *, transient: bool) -> None:
        self.failure = ApplyFailure(
            kind=self.resource.kind, name=self.name, reason=reason, message=message, transient=transient
        )


class Applier:
    """Brings children to what is desired."""

    def __init__(self, api: ApiClient, store: Store, ingest: Ingest) -> None:
        self._api = api
        self._store = store
        self._ingest = ingest
        self._rewrites = Rewrites()
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)

    async def apply(
        self, owner: Owner, desired: Sequence[dict[str, Any]], retire: Sequence[Child]
    ) -> Applied:
        """Write every desired object that differs, then delete the retired ones.

        A refused write is reported and does not stop the others; only LeadershipLostError is raised.
        """
        writes = [self._prepare(owner, body) for body in desired]
        await self._each([write for write in writes if write.child is None], self._claimer(owner))
        pending = [write for write in writes if write.failure is None and not self._is_current(write)]
        await self._write_all(owner, pending, writes)
        deletions = await self._retire(owner, retire)
        return _summary(writes, deletions)

    async def scale(self, key: Key, replicas: int, version: str) -> ApplyFailure | None:
        """Write the ModelService's own `/scale`, unless it was written since it had this resourceVersion."""
        patch = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        try:
            async with self._slots:
                await self._api.patch_subresource(MODEL_SERVICES, key.namespace, key.name, "scale", patch)
        except (ConflictError, NotFoundError):
            return None  # there is news on its way
        except ApiError as error:
            return apply_failure(error, MODEL_SERVICES.kind, key.name)
        return None

    async def _write_all(self, owner: Owner, pending: Sequence[_Write], writes: Sequence[_Write]) -> None:
        """Deployments after what their pods need, everything else beside them: Services are slow to make."""

        async def deployments_last() -> None:
            await self._each([write for write in pending if write.resource.kind in FIRST], writer)
            await self._each(
                [
                    write
                    for write in pending
                    if write.resource.kind == "Deployment" and not _is_blocked(write, writes)
                ],
                writer,
            )

        writer = self._writer(owner)
        rest = [write for write in pending if write.resource.kind not in FIRST | {"Deployment"}]
        await asyncio.gather(deployments_last(), self._each(rest, writer))

    def _prepare(self, owner: Owner, body: dict[str, Any]) -> _Write:
        resource = CHILD_BY_KIND[body["kind"]]
        metadata = body["metadata"]
        child = self._store.child(resource.kind, metadata["namespace"], metadata["name"])
        write = _Write(resource=resource, body=body, intended=fingerprint(canonicalise(body)), child=None)
        if child is not None and child.owner_uid == owner.uid:
            _accept(write, child)
        return write

    def _is_current(self, write: _Write) -> bool:
        child = write.child
        if child is None:
            return False
        return child.fingerprint == write.intended or self._rewrites.accepts(child, write.intended)

    def _claimer(self, owner: Owner) -> Callable[[_Write], Awaitable[None]]:
        async def claim(write: _Write) -> None:
            if write.failure is None:
                await self._claim(owner, write)

        return claim

    async def _claim(self, owner: Owner, write: _Write) -> None:
        """Look the name up live: absent, ours, or not for us to touch."""
        try:
            async with self._slots:
                obj = await self._api.get(write.resource, write.namespace, write.name)
        except NotFoundError:
            return
        except ApiError as error:
            write.fail(error)
            return
        child = project_child(write.resource, obj)
        if child.owner_uid == owner.uid or _is_own_orphan(owner, child):
            self._store.put_child(child)
            _accept(write, child)
        elif child.owner_name == owner.key.name:
            write.refuse(
                "Unavailable",
                "it belongs to a deleted ModelService of the same name and is being collected",
                transient=True,
            )
        else:
            write.refuse("NameConflict", _conflict_message(write, child), transient=False)

    def _writer(self, owner: Owner) -> Callable[[_Write], Awaitable[None]]:
        async def write_out(write: _Write) -> None:
            try:
                await self._write(write)
            except ConflictError:
                # Replaced or gone since it was cached: look at what is there now, and try once more.
                write.child = None
                await self._claim(owner, write)
                if write.failure is None and not self._is_current(write):
                    await self._write_again(write)
            except ApiError as error:
                write.fail(error)

        return write_out

    async def _write_again(self, write: _Write) -> None:
        try:
            await self._write(write)
        except ApiError as error:
            write.fail(error)

    async def _write(self, write: _Write) -> None:
        """Apply it; what a person put in its way is taken over first, or when the API server refuses."""
        if write.child is not None and write.child.edited:
            await self._take_over(write, everything=False)
        try:
            await self._send(write)
        except ApiError as error:
            is_ours = error.status == INVALID and write.child is not None
            if not is_ours or not await self._take_over(write, everything=True):
                raise
            await self._send(write)

    async def _take_over(self, write: _Write, *, everything: bool) -> bool:
        """Make fields that persons set ours, so that the next apply removes them; whether there were any."""
        for attempt in range(TAKEOVER_ATTEMPTS):
            async with self._slots:
                live = await self._api.get(write.resource, write.namespace, write.name)
            patch = plan_takeover(live, write.body, everything=everything)
            if patch is None:
                return False
            try:
                async with self._slots:
                    await self._api.patch_child(write.resource, write.namespace, write.name, patch)
            except ConflictError:
                if attempt == TAKEOVER_ATTEMPTS - 1:
                    raise
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, write: _Write) -> None:
        body = write.body
        if write.child is not None:
            body = {**body, "metadata": {**body["metadata"], "uid": write.child.uid}}
        async with self._slots:
            answer = await self._api.apply(body)
        child = self._ingest.on_child_written(write.resource, answer)
        self._rewrites.note(child, write.intended, write.body, answer)
        write.is_written = True

    async def _retire(self, owner: Owner, retire: Iterable[Child]) -> list[_Write]:
        deletions = [
            _Write(
                resource=CHILD_BY_KIND[child.kind],
                body={"metadata": {"namespace": child.namespace, "name": child.name}},
                intended="",
                child=child,
            )
            for child in retire
            if child.owner_uid == owner.uid and not child.deleting
        ]
        await self._each(deletions, self._delete)
        return deletions

    async def _delete(self, write: _Write) -> None:
        child = write.child
        assert child is not None
        try:
            async with self._slots:
                await self._api.delete(
                    write.resource, write.namespace, write.name, child.uid, owned_first=_goes_last(child)
                )
        except (NotFoundError, ConflictError):
            return  # gone already, or something else has the name: its watch event tells
        except ApiError as error:
            write.fail(error)
            return
        self._store.mark_deleting(child)
        write.is_written = True

    @staticmethod
    async def _each(writes: Sequence[_Write], action: Callable[[_Write], Awaitable[None]]) -> None:
        """Run `action` for all at the same time."""
        if len(writes) == 1:
            await action(writes[0])
        elif writes:
            await asyncio.gather(*map(action, writes))


def _accept(write: _Write, child: Child) -> None:
    """The object is ours; one on its way out cannot be mended."""
    write.child = child
    if child.deleting:
        write.refuse("Unavailable", "it is being deleted; it is made anew once it is gone", transient=True)


def _is_own_orphan(owner: Owner, child: Child) -> bool:
    """Whether we made this object for a service of this name and its owner reference was removed since.

    That happens by `kubectl delete --cascade=orphan` and by restoring a backup. Labels alone prove nothing:
    our field manager must own fields in it.
    """
    return (
        child.owner_uid is None
        and child.labels.get(MANAGED_BY) == MANAGER
        and child.labels.get(NAME) == owner.key.name
        and child.fingerprint != NOTHING_MANAGED
    )


def _conflict_message(write: _Write, child: Child) -> str:
    whose = "is controlled by something else" if child.owner_uid else "was not made by this operator"
    return (
        f"{write.resource.kind} {write.name!r} exists and {whose}: delete or rename it, "
        "or give the ModelService another name"
    )


def _is_blocked(write: _Write, writes: Iterable[_Write]) -> bool:
    """Whether a Deployment must not be written: its snapshot failed, or, when new, its ServiceAccount."""
    if write.resource.kind != "Deployment":
        return False
    revision = write.body["metadata"]["labels"].get(REVISION)
    for other in writes:
        if other.failure is None:
            continue
        if other.resource.kind == "ControllerRevision":
            if other.body["metadata"]["labels"].get(REVISION) == revision:
                return True
        elif other.resource.kind == "ServiceAccount" and write.child is None:
            return True
    return False


def _summary(writes: Sequence[_Write], deletions: Sequence[_Write]) -> Applied:
    everything = [*writes, *deletions]
    return Applied(
        failures=tuple(write.failure for write in everything if write.failure is not None),
        written=frozenset(write.resource.kind for write in everything if write.is_written),
        retry_after_seconds=max((write.retry_after_seconds for write in everything), default=0.0),
    )


def _goes_last(child: Child) -> bool:
    """Whether it is a Deployment whose pods have ended, and only their objects are left.

    Until those are gone too the disruption controller asks it how many pods are wanted. Pods that still stop
    might take long, and nothing new can take the name as long.
    """
    return isinstance(child, DeploymentChild) and child.replicas == child.terminating_replicas == 0
