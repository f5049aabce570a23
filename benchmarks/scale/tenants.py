"""A small tenant edits its services while every service of another, large one is due at the operator."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.scale.edits import CALL_SECONDS, Users
from benchmarks.scale.options import NAMESPACES, RUNTIME, Options
from benchmarks.scale.sight import watching
from modelservice_operator.client.kubeapi import MERGE_PATCH, ApiClient
from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVICES = 10
PAUSE_SECONDS = 2.0
"""Between two changes that concern everybody: as few as keep the operator's queue full."""


@contextlib.asynccontextmanager
async def small_tenant(api: ApiClient, options: Options) -> AsyncIterator[Users]:
    """Users of a namespace of their own with some services, which are ready; it stays."""
    own = replace(options, namespace=f"{options.namespace}-small-{int(time.time())}", services=SERVICES)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own.namespace}}
    await api._call("POST", NAMESPACES, NAMESPACES.path(), body=namespace, timeout_seconds=CALL_SECONDS)
    async with watching(api, own.namespace) as sight:
        for name in own.names:
            await api.create(MODEL_SERVICES, own.namespace, own.make_service(name), CALL_SECONDS)
        for name in own.names:
            await sight.wait(name, partial(sight.settled.__contains__, name))
        users = Users(api, own, sight)
        await users.prepare()
        yield users


@contextlib.asynccontextmanager
async def everybody_due(api: ApiClient) -> AsyncIterator[None]:
    """The ModelRuntime changes again and again: each time the status of every service tells it."""

    async def change() -> None:
        path = MODEL_RUNTIMES.path("", RUNTIME["metadata"]["name"])
        for number in itertools.count():
            body = {"spec": {"image": f"registry.example/modelservice-runtime:tenants-{number}"}}
            await api._call(
                "PATCH",
                MODEL_RUNTIMES,
                path,
                body=body,
                content_type=MERGE_PATCH,
                timeout_seconds=CALL_SECONDS,
            )
            await asyncio.sleep(PAUSE_SECONDS)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
