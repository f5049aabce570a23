"""Edits by users at a fixed rate, beside as many patches of ConfigMaps: what the API server costs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from benchmarks.scale.options import CONFIG_MAPS, PARALLEL_CALLS, Options
from modelservice_operator.client.kubeapi import MERGE_PATCH, ApiClient
from modelservice_operator.facts.kinds import MODEL_SERVICES, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.scale.sight import Sight

CALL_SECONDS = 60.0
CONFIG_MAP_COUNT = 20


@dataclass(frozen=True)
class Kind:
    """One kind of edit: `plan` says what to patch, and when its Deployment has come."""

    title: str
    plan: Callable[[Sight, str, int], tuple[dict[str, Any], Callable[[], bool]]]


def plan_replicas(sight: Sight, name: str, _: int) -> tuple[dict[str, Any], Callable[[], bool]]:
    """One pod more where there is one, else one less."""
    wanted = 2 if max(sight.replicas[name].values(), default=1) == 1 else 1
    return {"spec": {"replicas": wanted}}, lambda: wanted in sight.replicas[name].values()


def plan_model(sight: Sight, name: str, number: int) -> tuple[dict[str, Any], Callable[[], bool]]:
    """Another model: a new revision."""
    known = set(sight.replicas[name])
    uri = f"oci://registry.example/models/spam:{time.time_ns()}-{number}"
    return {"spec": {"model": {"storageUri": uri}}}, lambda: bool(sight.replicas[name].keys() - known)


REPLICAS = Kind("spec.replicas", plan_replicas)
KINDS = (REPLICAS, Kind("spec.model", plan_model))
STILL = replace(REPLICAS, title="spec.replicas, controllers still")


@dataclass
class Latencies:
    """Milliseconds, one value an edit."""

    plain: list[float] = field(default_factory=list)
    """The patch of a ConfigMap."""
    user: list[float] = field(default_factory=list)
    """The user's patch of the ModelService."""
    deployment: list[float] = field(default_factory=list)
    """From sending it until a watch delivered its Deployment."""
    status: list[float] = field(default_factory=list)
    """Until a watch delivered a status that has seen it."""


class Users:
    """Edit services, each at most once at a time, and note how long that takes."""

    def __init__(self, api: ApiClient, options: Options, sight: Sight) -> None:
        self._api = api
        self._options = options
        self._sight = sight
        self._slots = asyncio.Semaphore(PARALLEL_CALLS)
        self._free: asyncio.Queue[str] = asyncio.Queue()
        """Services whose last edit was seen to its end: another one meanwhile could hide what came of it."""
        for name in options.names:
            self._free.put_nowait(name)
        self.latencies = Latencies()

    @property
    def how_far(self) -> str:
        """What came back of how many edits."""
        seen = self.latencies
        return f"{len(seen.user)} sent, {len(seen.deployment)} Deployments and {len(seen.status)} statuses"

    async def prepare(self) -> None:
        """Make the ConfigMaps."""
        for number in range(CONFIG_MAP_COUNT):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"plain-{number}"}}
            await self._api.create(CONFIG_MAPS, self._options.namespace, body, CALL_SECONDS)

    async def edit(self, kind: Kind, rate: float) -> float:
        """Edit at this rate until all was seen; returns the edits a second that were reached."""
        count = int(self._options.seconds * rate)
        self.latencies = Latencies()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                group.create_task(self._edit(kind, await self._free.get(), number))
                group.create_task(self._patch_plain(number))
        return count / (time.perf_counter() - started)

    async def _edit(self, kind: Kind, name: str, number: int) -> None:
        body, has_come = kind.plan(self._sight, name, number)
        async with self._slots:
            started = time.perf_counter()
            answer = await self._patch(MODEL_SERVICES, name, body)
        self._note(self.latencies.user, started)
        generation = answer["metadata"]["generation"]
        await self._sight.wait(name, has_come)
        self._note(self.latencies.deployment, started)
        await self._sight.wait(name, lambda: self._sight.observed[name] >= generation)
        self._note(self.latencies.status, started)
        self._free.put_nowait(name)

    async def _patch_plain(self, number: int) -> None:
        async with self._slots:
            started = time.perf_counter()
            body = {"data": {"number": str(time.time_ns())}}
            await self._patch(CONFIG_MAPS, f"plain-{number % CONFIG_MAP_COUNT}", body)
        self._note(self.latencies.plain, started)

    async def _patch(self, resource: Resource, name: str, body: dict[str, Any]) -> dict[str, Any]:
        path = resource.path(self._options.namespace, name)
        return await self._api._call(
            "PATCH", resource, path, body=body, content_type=MERGE_PATCH, timeout_seconds=CALL_SECONDS
        )

    @staticmethod
    def _note(values: list[float], started: float) -> None:
        values.append(1000 * (time.perf_counter() - started))
