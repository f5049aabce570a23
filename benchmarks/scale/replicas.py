"""Replicas of the operator of this checkout, as processes, and what they say of themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.scale import in_image
from benchmarks.scale.options import ROOT, Options
from benchmarks.scale.progress import tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FIRST_PORT = 18_281
PREFIX = "modelservice_operator_"
PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.1
PATIENT_LEASE = ("--lease-duration-seconds", "120", "--lease-renew-deadline-seconds", "100")
"""An operator that cannot renew its Lease in time ends. Here the API server is as busy as it gets."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The counters of a replica at one moment; what the Lease and watches cost is not in them."""

    calls: float = 0.0
    writes: float = 0.0
    reconciles: float = 0.0
    waiting: float = 0.0
    cpu_seconds: float = 0.0
    rss_mib: float = 0.0
    synced: float = 0.0
    leads: float = 0.0

    def since(self, before: Snapshot) -> Snapshot:
        """What came since `before`; memory as it is now."""
        changed = {
            one.name: getattr(self, one.name) - getattr(before, one.name)
            for one in fields(self)
            if one.name not in ("rss_mib", "waiting")
        }
        return Snapshot(**changed, rss_mib=self.rss_mib, waiting=self.waiting)


SERIES = {
    f"{PREFIX}api_requests_total": "calls",
    f"{PREFIX}writes_total": "writes",
    f"{PREFIX}reconcile_total": "reconciles",
    f"{PREFIX}queue_depth": "waiting",
    "process_cpu_seconds_total": "cpu_seconds",
    "process_resident_memory_bytes": "rss_mib",
    f"{PREFIX}cache_synced": "synced",
    f"{PREFIX}leader": "leads",
}


def read_snapshot(text: str) -> Snapshot:
    """The snapshot in a page of metrics."""
    totals: dict[str, float] = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        field = SERIES.get(series.partition("{")[0])
        if field is None or '"WATCH"' in series or '"leases"' in series:
            continue
        totals[field] = totals.get(field, 0.0) + float(value)
    return Snapshot(**{**totals, "rss_mib": totals.get("rss_mib", 0.0) / 2**20})


class Replica:
    """One process; `number` tells it from others."""

    def __init__(self, options: Options, number: int = 0, flags: tuple[str, ...] = PATIENT_LEASE) -> None:
        self._options = options
        self._number = number
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None
        self._has_ended = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self.started_at = 0.0

    async def start(self) -> None:
        """Start the process, and wait for nothing."""
        namespace = self._options.namespace
        as_installed = (sys.executable, "-m", "modelservice_operator")
        command = [
            *(as_installed if self._options.plane is None else in_image.COMMAND),
            *("--kubeconfig", self._options.kubeconfig),
            *("--lease-namespace", namespace),
            *("--http-host", "127.0.0.1", "--http-port", str(FIRST_PORT + self._number)),
            # Telling the states of 3,500 services takes 0.2 s of CPU. Prometheus asks twice a minute for it:
            # looked at ten times a second it would be most of what is measured.
            *("--most-reported-services", "0"),
            *("--log-level", "ERROR", *self._flags),
        ]
        self.started_at = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": "operator:.", "POD_NAME": f"operator-{self._number}"},
        )
        self._watcher = asyncio.create_task(self._watch(self._process))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if process is self._process:
            tell(f"the operator ended by itself, with {code}")
            self._has_ended.set()

    @contextlib.asynccontextmanager
    async def needed(self) -> AsyncIterator[None]:
        """TimeoutError as soon as the process has ended by itself: nothing that is waited for would come."""

        async def give_up(scope: asyncio.Timeout) -> None:
            await self._has_ended.wait()
            scope.reschedule(0.0)

        async with asyncio.timeout(None) as scope:
            task = asyncio.create_task(give_up(scope))
            try:
                yield
            finally:
                task.cancel()

    async def stop(self) -> None:
        """Ask it to end, as the kubelet does; it hands the Lease over."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()

    async def kill(self) -> None:
        """End it without a word."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def read(self) -> Snapshot:
        """What it says; nothing where it does not answer."""
        url = f"http://127.0.0.1:{FIRST_PORT + self._number}/metrics"
        with contextlib.suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                return read_snapshot(await response.text())
        return Snapshot()

    async def wait(self, condition: Callable[[Snapshot], bool]) -> float:
        """Wait until its snapshot fulfils this; returns the seconds since its start."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(await self.read()):  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter() - self.started_at
