"""The only writes to children: apply what is desired, delete what is retired, touch nothing else's.

Ownership comes before every write. An object that carries our owner reference is ours, by UID. A name that
the cache does not know is looked up live first, because a forced apply would adopt whatever is there and
a watch by label would not have shown it. Later writes carry the UID that was seen: the API server refuses
them if the object has been replaced or has gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from modelservice_operator.cache.project import project_child
from modelservice_operator.facts.errors import ApiError, ConflictError, NotFoundError, apply_failure
from modelservice_operator.facts.fields.canonical import intended_fingerprint
from modelservice_operator.facts.fields.takeover import plan_takeover
from modelservice_operator.facts.kinds import CHILD_BY_KIND, MODEL_SERVICES
from modelservice_operator.facts.ownership import is_owned
from modelservice_operator.work.writes.rewrites import Rewrites
from modelservice_operator.work.writes.write import (
    Applied,
    Owner,
    Write,
    claim,
    goes_last,
    is_blocked,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store
    from modelservice_operator.cache.workqueue import Key
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.facts.observed import ApplyFailure, Child

PARALLEL_WRITES = 16
"""Of all workers together: more only queue inside the API server (measured)."""
TAKEOVER_ATTEMPTS = 3
"""A Deployment's controller writes its status just when somebody has edited it."""
INVALID = 422
"""The HTTP status of an object that would break a rule of its kind."""

FIRST = frozenset({"ControllerRevision", "ServiceAccount", "NetworkPolicy"})
"""Kinds that must exist before those with pods are written; the others do not wait for each other."""
WITH_PODS = frozenset({"Deployment", "Job"})


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
        return summarise(writes, deletions)

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

    async def _write_all(self, owner: Owner, pending: Sequence[Write], writes: Sequence[Write]) -> None:
        """What has pods after what those need, everything else beside that: Services are slow to make."""
        if not pending:
            return

        async def deployments_last() -> None:
            await self._each([write for write in pending if write.resource.kind in FIRST], writer)
            await self._each(
                [
                    write
                    for write in pending
                    if write.resource.kind in WITH_PODS and not is_blocked(write, writes)
                ],
                writer,
            )

        writer = self._writer(owner)
        rest = [write for write in pending if write.resource.kind not in FIRST | WITH_PODS]
        await asyncio.gather(deployments_last(), self._each(rest, writer))

    def _prepare(self, owner: Owner, body: dict[str, Any]) -> Write:
        resource = CHILD_BY_KIND[body["kind"]]
        metadata = body["metadata"]
        child = self._store.child(resource.kind, metadata["namespace"], metadata["name"])
        write = Write(resource=resource, body=body, intended=intended_fingerprint(body), child=None)
        if child is not None and is_owned(child, owner.uid):
            write.accept(child)
        return write

    def _is_current(self, write: Write) -> bool:
        child = write.child
        if child is None:
            return False
        return child.fingerprint == write.intended or self._rewrites.accepts(child, write.intended)

    def _claimer(self, owner: Owner) -> Callable[[Write], Awaitable[None]]:
        async def claim(write: Write) -> None:
            if write.failure is None:
                await self._claim(owner, write)

        return claim

    async def _claim(self, owner: Owner, write: Write) -> None:
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
        if claim(write, owner, child):
            self._store.put_child(child)

    def _writer(self, owner: Owner) -> Callable[[Write], Awaitable[None]]:
        async def write_out(write: Write) -> None:
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

    async def _write_again(self, write: Write) -> None:
        try:
            await self._write(write)
        except ApiError as error:
            write.fail(error)

    async def _write(self, write: Write) -> None:
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

    async def _take_over(self, write: Write, *, everything: bool) -> bool:
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

    async def _send(self, write: Write) -> None:
        body = write.body
        if write.child is not None:
            body = {**body, "metadata": {**body["metadata"], "uid": write.child.uid}}
        async with self._slots:
            answer = await self._api.apply(body)
        child = self._ingest.on_child_written(write.resource, answer)
        self._rewrites.note(child, write.intended, write.body, answer)
        write.is_written = True

    async def _retire(self, owner: Owner, retire: Iterable[Child]) -> list[Write]:
        deletions = [
            Write(
                resource=CHILD_BY_KIND[child.kind],
                body={"metadata": {"namespace": child.namespace, "name": child.name}},
                intended="",
                child=child,
            )
            for child in retire
            if is_owned(child, owner.uid) and not child.deleting
        ]
        await self._each(deletions, self._delete)
        return deletions

    async def _delete(self, write: Write) -> None:
        child = write.child
        assert child is not None
        try:
            async with self._slots:
                await self._api.delete(
                    write.resource, write.namespace, write.name, child.uid, owned_first=goes_last(child)
                )
        except (NotFoundError, ConflictError):
            return  # gone already, or something else has the name: its watch event tells
        except ApiError as error:
            write.fail(error)
            return
        self._store.mark_deleting(child)
        write.is_written = True

    @staticmethod
    async def _each(writes: Sequence[Write], action: Callable[[Write], Awaitable[None]]) -> None:
        """Run `action` for all at the same time."""
        if len(writes) == 1:
            await action(writes[0])
        elif writes:
            await asyncio.gather(*map(action, writes))
