"""A RuntimeRollout that brings a newer image to some of the services, in three waves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from benchmarks.scale.options import RUNTIME, WAVE_LABEL, WAVES, Options
from modelservice_operator.client.kubeapi import MERGE_PATCH, ApiClient
from modelservice_operator.facts.errors import NotFoundError
from modelservice_operator.facts.kinds import MODEL_RUNTIMES, RUNTIME_ROLLOUTS, Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

MOST_CONCURRENT = 50
LOOK_SECONDS = 1.0
CALL_SECONDS = 60.0
OVER = ("Complete", "Halted", "Superseded", "Aborted", "RolledBack")


class Wave:
    """Its members are those services that have a label for that."""

    def __init__(self, api: ApiClient, options: Options) -> None:
        self._api = api
        self._options = options
        self._status: Mapping[str, Any] = {}
        self.count = len(options.wave_members)
        self.most_concurrent = MOST_CONCURRENT

    def how_far(self) -> str:
        """What the RuntimeRollout says."""
        status = self._status
        counts = status.get("counts", {})
        return (
            f"{status.get('phase')}: wave {status.get('wave')}, {status.get('progress')} updated, "
            f"{counts.get('moving', 0)} moving, {counts.get('failed', 0)} failed"
        )

    @contextlib.asynccontextmanager
    async def members(self) -> AsyncIterator[Wave]:
        """With a ModelRuntime that names a newer image, which moves nobody yet; cleans up behind itself."""
        image = f"registry.example/modelservice-runtime:{time.time_ns()}"
        await self._patch(MODEL_RUNTIMES, RUNTIME["metadata"]["name"], {"spec": {"image": image}})
        try:
            yield self
        finally:
            with contextlib.suppress(NotFoundError):
                path = RUNTIME_ROLLOUTS.path("", self._name)
                await self._api._call("DELETE", RUNTIME_ROLLOUTS, path, timeout_seconds=CALL_SECONDS)

    @property
    def _name(self) -> str:
        return f"bench-{self._options.services}"

    async def run(self) -> float:
        """Move them; returns the seconds that it took."""
        started = time.perf_counter()
        path = RUNTIME_ROLLOUTS.path()
        body = {**self._rollout(), "metadata": {"name": self._name}}
        await self._api._call("POST", RUNTIME_ROLLOUTS, path, body=body, timeout_seconds=CALL_SECONDS)
        while self._status.get("phase") not in OVER:
            await asyncio.sleep(LOOK_SECONDS)
            found = await self._api.get(RUNTIME_ROLLOUTS, "", self._name)
            self._status = (found or {}).get("status") or {}
        if self._status["phase"] != "Complete" or self._status["counts"]["updated"] != self.count:
            raise TimeoutError(f"not everybody has the image: {self.how_far()}")
        return time.perf_counter() - started

    def _rollout(self) -> dict[str, Any]:
        waves = [{"name": name, "selector": {"matchLabels": {WAVE_LABEL: name}}} for name, _ in WAVES]
        return {
            "apiVersion": RUNTIME_ROLLOUTS.api_version,
            "kind": RUNTIME_ROLLOUTS.kind,
            "spec": {
                "target": {"runtime": RUNTIME["metadata"]["name"]},
                "selector": {
                    "namespaces": [self._options.namespace],
                    "matchExpressions": [{"key": WAVE_LABEL, "operator": "Exists"}],
                },
                "waves": [*waves[:-1], {"name": "rest", "rest": True}],
                "maxConcurrent": MOST_CONCURRENT,
                "maxUnavailable": MOST_CONCURRENT,
                "soakSeconds": 0,
            },
        }

    async def _patch(self, resource: Resource, name: str, body: dict[str, Any]) -> None:
        path = resource.path("", name)
        await self._api._call(
            "PATCH", resource, path, body=body, content_type=MERGE_PATCH, timeout_seconds=CALL_SECONDS
        )
