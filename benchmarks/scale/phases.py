"""What is measured, one after the other; each phase says what it found as soon as it has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.scale.edits import KINDS, Kind, Users, percentile
from benchmarks.scale.options import NAMESPACES, PARALLEL_CALLS, RUNTIME, Options
from benchmarks.scale.replicas import Replica, Snapshot
from benchmarks.scale.sight import Sight, watching
from modelservice_operator.client.credentials import kubeconfig_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.facts.errors import ApiError, NotFoundError
from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SETTLE_SECONDS = 10.0
"""What follows an edit (old pods that go, comparisons) is over by then."""
FILL_SECONDS = 7_200.0
PROGRESS_SECONDS = 5.0


@dataclass(kw_only=True)
class EditRow:
    """One kind of edit at one rate. Times are milliseconds."""

    kind: str
    rate: float
    reached: float
    plain_p50: float
    plain_p99: float
    deployment_p50: float
    deployment_p99: float
    status_p50: float
    status_p99: float
    calls: float
    cpu_ms: float
    rss_mib: float


@dataclass(kw_only=True)
class Result:
    """What came of one number of services."""

    services: int
    created_per_second: float = 0.0
    cold_synced_seconds: float = 0.0
    cold_looked_seconds: float = 0.0
    cold_writes: float = 0.0
    failover_seconds: float = 0.0
    failover_looked_seconds: float = 0.0
    failover_writes: float = 0.0
    rest_writes: float = 0.0
    rest_calls_per_second: float = 0.0
    rest_cpu_percent: float = 0.0
    start_rss_mib: float = 0.0
    most_rss_mib: float = 0.0
    edits: list[EditRow] = field(default_factory=list)


def tell(text: str) -> None:
    """Say how far it is."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class Bench:
    """One run with one number of services; those that are there already are used."""

    def __init__(self, api: ApiClient, options: Options, sight: Sight) -> None:
        self._api = api
        self._options = options
        self._sight = sight
        self.result = Result(services=options.services)

    async def run(self) -> Result:
        """All phases."""
        first = Replica(self._options)
        await first.start()
        try:
            await self._fill(first)
            await self._rest(first)
        finally:
            await first.stop()
        await self._cold_start()
        await self._fail_over()
        await self._edit_all()
        return self.result

    async def _fill(self, replica: Replica) -> None:
        """Create what is missing, and wait until all are ready and nothing is left to do."""
        missing = [name for name in self._options.names if name not in self._sight.generations]
        tell(f"creating {len(missing)} of {self._options.services} ModelServices")
        started = time.perf_counter()
        slots = asyncio.Semaphore(PARALLEL_CALLS)

        async def create(name: str) -> None:
            async with slots:
                body = self._options.make_service(name)
                await self._api.create(MODEL_SERVICES, self._options.namespace, body, 60.0)

        async with asyncio.timeout(FILL_SECONDS):
            async with asyncio.TaskGroup() as group:
                for name in missing:
                    group.create_task(create(name))
                group.create_task(self._wait_ready())
            self.result.created_per_second = len(missing) / (time.perf_counter() - started)
            await self._settle(replica)

    async def _wait_ready(self) -> None:
        told = 0.0
        while (ready := self._sight.ready) < self._options.services:
            if time.perf_counter() - told > PROGRESS_SECONDS:
                told = time.perf_counter()
                tell(f"  {len(self._sight.generations)} created, {ready} ready")
            await asyncio.sleep(0.5)
        tell(f"  all {ready} ready")

    async def _settle(self, replica: Replica) -> Snapshot:
        """Wait until the replica writes nothing any more."""
        before = await replica.read()
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            after = await replica.read()
            if after.writes == before.writes and not after.waiting:
                return after
            before = after

    async def _rest(self, replica: Replica) -> None:
        before = await replica.read()
        seconds = max(self._options.seconds, 10.0)
        await asyncio.sleep(seconds)
        used = (await replica.read()).since(before)
        self.result.rest_writes = used.writes
        self.result.rest_calls_per_second = used.calls / seconds
        self.result.rest_cpu_percent = 100 * used.cpu_seconds / seconds
        tell(f"at rest: {used.writes:.0f} writes, {used.calls / seconds:.2f} calls/s, {used.rss_mib:.0f} MiB")

    async def _cold_start(self) -> None:
        replica = Replica(self._options)
        await replica.start()
        try:
            self.result.cold_synced_seconds = await replica.wait(lambda one: one.synced == 1)
            self.result.cold_looked_seconds = await replica.wait(self._has_looked)
            seen = await replica.read()
        finally:
            await replica.stop()
        self.result.cold_writes, self.result.start_rss_mib = seen.writes, seen.rss_mib
        tell(
            f"cold start: {self.result.cold_synced_seconds:.1f} s until everything is read, "
            f"{self.result.cold_looked_seconds:.1f} s until all was decided, {seen.writes:.0f} writes, "
            f"{seen.rss_mib:.0f} MiB"
        )

    def _has_looked(self, seen: Snapshot) -> bool:
        return seen.reconciles >= self._options.services and not seen.waiting

    async def _fail_over(self) -> None:
        """Kill the leader; the Lease has to run out first."""
        leader, second = (Replica(self._options, number) for number in range(2))
        try:
            await leader.start()
            await leader.wait(lambda one: one.leads == 1)
            await leader.wait(self._has_looked)
            await second.start()
            await second.wait(lambda one: one.synced == 1)
            await leader.kill()
            killed_at = time.perf_counter() - second.started_at
            self.result.failover_seconds = await second.wait(lambda one: one.leads == 1) - killed_at
            self.result.failover_looked_seconds = await second.wait(self._has_looked) - killed_at
            self.result.failover_writes = (await second.read()).writes
        finally:
            await leader.kill()
            await second.stop()
        tell(
            f"the leader is killed: another leads after {self.result.failover_seconds:.1f} s, has decided "
            f"all after {self.result.failover_looked_seconds:.1f} s, {self.result.failover_writes:.0f} writes"
        )

    async def _edit_all(self) -> None:
        replica = Replica(self._options)
        await replica.start()
        users = Users(self._api, self._options, self._sight)
        with contextlib.suppress(ApiError):
            await users.prepare()
        try:
            await replica.wait(self._has_looked)
            for kind in KINDS:
                for rate in self._options.rates:
                    self.result.edits.append(await self._edit(replica, users, kind, rate))
            self.result.most_rss_mib = max(row.rss_mib for row in self.result.edits)
        finally:
            await replica.stop()

    async def _edit(self, replica: Replica, users: Users, kind: Kind, rate: float) -> EditRow:
        before = await self._settle(replica)
        reached = await users.edit(kind, rate)
        await self._wait_ready()
        used = (await self._settle(replica)).since(before)
        seen, count = users.latencies, len(users.latencies.deployment)
        row = EditRow(
            kind=kind.title,
            rate=rate,
            reached=reached,
            plain_p50=percentile(seen.plain, 50),
            plain_p99=percentile(seen.plain, 99),
            deployment_p50=percentile(seen.deployment, 50),
            deployment_p99=percentile(seen.deployment, 99),
            status_p50=percentile(seen.status, 50),
            status_p99=percentile(seen.status, 99),
            calls=used.calls / count,
            cpu_ms=1000 * used.cpu_seconds / count,
            rss_mib=used.rss_mib,
        )
        tell(
            f"{kind.title} at {rate:.0f}/s: Deployment p50 {row.deployment_p50:.0f} p99 "
            f"{row.deployment_p99:.0f} ms, status p50 {row.status_p50:.0f} p99 {row.status_p99:.0f} ms, a "
            f"ConfigMap p50 {row.plain_p50:.0f} p99 {row.plain_p99:.0f} ms, {row.calls:.1f} calls and "
            f"{row.cpu_ms:.0f} ms of CPU an edit, {row.rss_mib:.0f} MiB"
        )
        return row


async def bench(options: Options) -> Result:
    """Measure on a cluster that has our CRDs; what was made there stays."""
    async with ApiClient(kubeconfig_credentials(options.kubeconfig, None)) as api:
        await _unless_there(
            api.get(NAMESPACES, None, options.namespace), lambda: _make_namespace(api, options)
        )
        await _unless_there(
            api.get(MODEL_RUNTIMES, None, RUNTIME["metadata"]["name"]),  # type: ignore[index]
            lambda: api._call("POST", MODEL_RUNTIMES, MODEL_RUNTIMES.path(), body=RUNTIME),
        )
        async with watching(api, options.namespace) as sight:
            return await Bench(api, options, sight).run()


async def _unless_there(found: Awaitable[object], make: Callable[[], Awaitable[object]]) -> None:
    try:
        await found
    except NotFoundError:
        await make()


async def _make_namespace(api: ApiClient, options: Options) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": options.namespace}}
    await api._call("POST", NAMESPACES, NAMESPACES.path(), body=body)
