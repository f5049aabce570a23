"""What a watch from outside sees of services and their Deployments, and when."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import DEPLOYMENTS, MODEL_SERVICES, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from modelservice_operator.client.kubeapi import ApiClient

PATIENCE_SECONDS = 600.0


@dataclass
class Sight:
    """By service: the pods that its Deployments ask for, what its status has seen, whether it is ready."""

    replicas: dict[str, dict[str, int]] = field(default_factory=dict)
    """Wanted pods by the Deployment's name."""
    observed: dict[str, int] = field(default_factory=dict)
    """`status.observedGeneration`."""
    settled: dict[str, int] = field(default_factory=dict)
    """The generation at which it was ready last."""
    generations: dict[str, int] = field(default_factory=dict)
    most_moving: int = 0
    """The most services whose target was not their stable revision, at one moment."""
    _moving: set[str] = field(default_factory=set)
    _changed: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def ready(self) -> int:
        """How many are ready as their spec wants it."""
        return sum(self.settled.get(name) == generation for name, generation in self.generations.items())

    def note(self, kind: str, obj: dict[str, Any]) -> None:
        """Take in what a list (kind ADDED) or an event brought."""
        metadata = obj["metadata"]
        if obj["kind"] == MODEL_SERVICES.kind:
            name = metadata["name"]
            self._note_service(name, metadata["generation"], obj.get("status", {}))
        else:
            name = metadata.get("labels", {}).get("modelservice.dev/name", "")
            deployments = self.replicas.setdefault(name, {})
            if kind == "DELETED":
                deployments.pop(metadata["name"], None)
            else:
                deployments[metadata["name"]] = obj["spec"]["replicas"]
        if (changed := self._changed.get(name)) is not None:
            changed.set()

    def _note_service(self, name: str, generation: int, status: dict[str, Any]) -> None:
        self.generations[name] = generation
        self.observed[name] = status.get("observedGeneration", 0)
        is_moving = status.get("stableRevision") != status.get("targetRevision")
        (self._moving.add if is_moving else self._moving.discard)(name)
        self.most_moving = max(self.most_moving, len(self._moving))
        conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
        if conditions.get("Ready") == "True" and self.observed[name] == generation:
            self.settled[name] = generation

    async def wait(self, name: str, condition: Callable[[], bool]) -> None:
        """Wait until something that was seen of a service fulfils the condition."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                changed = self._changed.setdefault(name, asyncio.Event())
                changed.clear()
                await changed.wait()


@contextlib.asynccontextmanager
async def watching(api: ApiClient, namespace: str) -> AsyncIterator[Sight]:
    """A sight that is kept current, and that has seen everything that was there."""
    sight = Sight()
    tasks = []
    for resource in (MODEL_SERVICES, DEPLOYMENTS):
        version = await _list(api, resource, namespace, sight)
        tasks.append(asyncio.create_task(_follow(api, resource, namespace, sight, version)))
    try:
        yield sight
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _list(api: ApiClient, resource: Resource, namespace: str, sight: Sight) -> str:
    version = "0"
    async for page in api.list_pages(resource, namespace):
        version = page.metadata.resource_version
        for item in page.items or ():
            sight.note("ADDED", {**item, "kind": resource.kind})
    return version


async def _follow(api: ApiClient, resource: Resource, namespace: str, sight: Sight, version: str) -> None:
    while True:
        try:
            async for event in api.watch(resource, namespace, version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    sight.note(event.type, event.object)
        except ApiError:
            version = await _list(api, resource, namespace, sight)
