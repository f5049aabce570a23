"""A worker process: its settings and its orders come over the link, its state and its counters go back.

When the parent has gone, however that came about, the worker finishes what is under way and ends.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from modelservice_runtime.models.load import Load, LoadSource, plain_load
from modelservice_runtime.models.snapshots import Snapshots, SnapshotSource, plain_snapshots
from modelservice_runtime.settings.plain_values import from_plain
from modelservice_runtime.settings.serve import ServeSettings
from modelservice_runtime.workers.link import Link
from modelservice_runtime.workers.messages import (
    FATAL,
    FILES,
    GROUP_READY,
    LOAD,
    LOOK,
    MODELS,
    READY,
    REPORT,
    SETTINGS,
)


class WorkerLink:
    """The worker's end of the link."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._settings: asyncio.Future[ServeSettings] = loop.create_future()
        self._link: Link
        self._snapshots: SnapshotSource | None = None
        self._loads: LoadSource | None = None
        self._on_group_ready: Callable[[], None] | None = None
        self._closing = False

    async def open(self, end: socket.socket) -> ServeSettings:
        """Wait for the settings."""
        self._link = await Link.open(end, self._obey, self._on_lost)
        return await self._settings

    def serve(self, snapshots: SnapshotSource, loads: LoadSource, on_group_ready: Callable[[], None]) -> None:
        """Tell the parent from now on what it asks for."""
        self._snapshots, self._loads = snapshots, loads
        self._on_group_ready = on_group_ready

    def tell_ready(self, warm_seconds: float) -> None:
        """Tell the parent that this worker is ready, after so long a warm-up."""
        self._link.send({READY: warm_seconds})

    def tell_files(self, refused: dict[str, bool]) -> None:
        """Tell the parent which files changed to what cannot be used."""
        self._link.send({FILES: refused})

    async def close(self, fatal: str = "") -> None:
        """Tell the parent why this worker ends, where there is something to tell."""
        self._closing = True
        if fatal:
            self._link.send({FATAL: fatal})
        await self._link.close()

    def _obey(self, message: dict[str, Any]) -> None:
        if SETTINGS in message:
            self._settings.set_result(from_plain(ServeSettings, message[SETTINGS]))
        if GROUP_READY in message and self._on_group_ready is not None:
            self._on_group_ready()
        if REPORT in message and self._snapshots is not None:
            self._snapshots.gather(partial(self._tell_models, message[REPORT]))
        if LOOK in message and self._loads is not None:
            self._loads.gather(partial(self._tell_load, message[LOOK]))

    def _tell_models(self, number: int, snapshots: Snapshots) -> None:
        self._link.send({REPORT: number, MODELS: plain_snapshots(snapshots)})

    def _tell_load(self, number: int, load: Load) -> None:
        self._link.send({LOOK: number, LOAD: plain_load(load)})

    def _on_lost(self) -> None:
        """As after an interrupt: nobody is there any more who could tell clients to go elsewhere."""
        if not self._closing:
            os.kill(os.getpid(), signal.SIGINT)
