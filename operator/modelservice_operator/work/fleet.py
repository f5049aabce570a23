"""Reconciliation of one RuntimeRollout: look at its members, plan, write its status, tell those it concerns.

It reads the cache alone, and writes nothing but its own status: members read there what they shall take. What
is written comes before anybody acts on it, so a killed operator goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from msgspec.structs import replace as replaced

from modelservice_operator import metrics
from modelservice_operator.api.fleet_status import FleetPhase
from modelservice_operator.cache.workqueue import Key
from modelservice_operator.decide.fleet.decide import Fleet, decide_fleet
from modelservice_operator.decide.fleet.seeing import read_seen
from modelservice_operator.explain.fleet import COUNTED, compute_fleet_status, fleet_transitions
from modelservice_operator.facts.errors import ConflictError, NotFoundError
from modelservice_operator.facts.kinds import RUNTIME_ROLLOUTS
from modelservice_operator.work.merge_patch import merge_patch
from modelservice_operator.work.reconcile import DONE, Outcome, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from modelservice_operator.cache.ingest import Ingest
    from modelservice_operator.cache.store import Store
    from modelservice_operator.cache.workqueue import WorkQueue
    from modelservice_operator.client.events import Recorder
    from modelservice_operator.client.kubeapi import ApiClient
    from modelservice_operator.decide.fleet.decide import FleetDecision
    from modelservice_operator.decide.fleet.model import Seen
    from modelservice_operator.work.reconcile import Reconciler

log = logging.getLogger(__name__)

PORTION = 50
"""Services that are read before others in the event loop have their turn: some 3 ms."""
_UNTOLD = frozenset({"unavailable"})
"""What alone is not worth a write."""


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Gives each key of the queue to whom it belongs."""

    services: Reconciler
    fleet: FleetReconciler

    async def reconcile(self, key: Key) -> Outcome:
        """Reconcile a ModelService, or a RuntimeRollout, which has no namespace."""
        return await (self.services if key.namespace else self.fleet).reconcile(key)


@dataclass(frozen=True, kw_only=True)
class FleetReconciler:
    """Runs `reconcile` for one RuntimeRollout at a time per name (the queue sees to that)."""

    api: ApiClient
    store: Store
    ingest: Ingest
    queue: WorkQueue
    recorder: Recorder
    now: Callable[[], datetime] = utc_now
    _read: dict[Key, tuple[str, Seen]] = field(default_factory=dict)
    """Members as they were read last, with their resourceVersions."""

    async def reconcile(self, key: Key) -> Outcome:
        """Bring one RuntimeRollout as far as it gets now."""
        rollout = self.store.fleet.rollout(key.name)
        if rollout is None or "deletionTimestamp" in rollout["metadata"]:
            self._forget(key.name)
            return DONE
        now = self.now()
        decision = await self._decide(rollout, now)
        new = compute_fleet_status(rollout, decision, now)
        _count(key.name, new)
        if not await self._write(rollout, new):
            return DONE
        for name in decision.step.released if decision.step is not None else ():
            namespace, _, service = name.partition("/")
            self.queue.add(Key(namespace, service))
        if decision.is_expired:
            await self._delete(rollout)
        return Outcome(requeue_after_seconds=decision.requeue_after_seconds)

    async def _decide(self, rollout: Mapping[str, Any], now: datetime) -> FleetDecision:
        name, members = rollout["metadata"]["name"], (rollout.get("status") or {}).get("members") or ()
        fleet = Fleet(
            rollout=rollout,
            others=[one for one in self.store.fleet.rollouts() if one["metadata"]["name"] != name],
            runtimes=self.store.runtimes(),
            seen=await self._look([line.split(" ")[0] for line in members]),
        )
        decision = decide_fleet(fleet, now)
        if not decision.wants_services:
            return decision
        services = await self._services(rollout["spec"]["target"]["runtime"])
        names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in services]
        return decide_fleet(replaced(fleet, services=services, seen=await self._look(names)), now)

    async def _look(self, names: list[str]) -> dict[str, Seen]:
        """Members as they are now; read anew is only who has changed."""
        seen, reads = {}, 0
        for name in names:
            namespace, _, service = name.partition("/")
            key = Key(namespace, service)
            entry = self.store.service(key)
            if entry is None:
                self._read.pop(key, None)
                continue
            known = self._read.get(key)
            if known is None or known[0] != entry.resource_version:
                known = entry.resource_version, read_seen(msgspec.json.decode(entry.raw))
                self._read[key] = known
                reads += 1
                if reads % PORTION == 0:
                    await asyncio.sleep(0)
            seen[name] = known[1]
        return seen

    async def _services(self, runtime: str) -> list[Mapping[str, Any]]:
        """All that run on a ModelRuntime, with no more than what choosing reads of them."""
        found: list[Mapping[str, Any]] = []
        for number, key in enumerate(self.store.service_keys(), start=1):
            entry = self.store.service(key)
            service = msgspec.json.decode(entry.raw) if entry is not None else {}
            status = service.get("status") or {}
            if (status.get("runtime") or {}).get("ref") == runtime:
                spec = {"gpu": service["spec"].get("gpu")}
                metadata = {**service["metadata"], "annotations": None, "managedFields": None}
                known = {field: status.get(field) for field in ("runtime", "stableRevision")}
                found.append({"metadata": metadata, "spec": spec, "status": known})
            if number % PORTION == 0:
                await asyncio.sleep(0)
        return found

    async def _write(self, rollout: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether the status says this now; False where this one is gone, or was changed meanwhile.

        It is written to what was read alone: one that was made anew by the same name inherits nothing.
        """
        old = rollout.get("status") or {}
        patch = merge_patch(old, new)
        if patch.keys() <= _UNTOLD:
            return True
        name, version = rollout["metadata"]["name"], rollout["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        try:
            answer = await self.api.patch_status(RUNTIME_ROLLOUTS, "", name, body)
        except (NotFoundError, ConflictError):
            return False  # the watch brings what there is instead, and wakes us
        self.ingest.on_rollout_written(answer)
        for transition in fleet_transitions(old, new):
            self.recorder.record(rollout, transition)
        return True

    async def _delete(self, rollout: Mapping[str, Any]) -> None:
        """Delete one that was kept for long enough; another one of its name stays."""
        metadata = rollout["metadata"]
        try:
            await self.api.delete(RUNTIME_ROLLOUTS, "", metadata["name"], metadata["uid"])
        except (NotFoundError, ConflictError):
            log.info("RuntimeRollout %s is gone", metadata["name"])

    def _forget(self, name: str) -> None:
        for state in COUNTED:
            with contextlib.suppress(KeyError):  # nothing was counted of it
                metrics.FLEET_MEMBERS.remove(name, state)
        for phase in get_args(FleetPhase):
            with contextlib.suppress(KeyError):
                metrics.FLEET_PHASE.remove(name, phase)
        if not self.store.fleet.rollouts():
            self._read.clear()


def _count(name: str, status: Mapping[str, Any]) -> None:
    counts = status.get("counts") or {}
    for state in COUNTED if counts else ():
        metrics.FLEET_MEMBERS.labels(name, state).set(counts.get(state, 0))
    for phase in get_args(FleetPhase):
        metrics.FLEET_PHASE.labels(name, phase).set(phase == status.get("phase"))
