"""What is measured, one scenario after the other; each says what it found as soon as it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from benchmarks.scale.edits import KINDS, REPLICAS, STILL, Kind, Users
from benchmarks.scale.options import NAMESPACES, RUNTIME, Options
from benchmarks.scale.plane import busy_seconds
from benchmarks.scale.progress import saying, tell
from benchmarks.scale.replicas import Replica, Snapshot
from benchmarks.scale.results import (
    EditRow,
    EditTimes,
    FillRow,
    RestRow,
    Result,
    StartRow,
    TenantRow,
    WaveRow,
    percentile,
)
from benchmarks.scale.sight import Sight, watching
from benchmarks.scale.tenants import everybody_due, small_tenant
from benchmarks.scale.wave import Wave
from modelservice_operator.client.credentials import kubeconfig_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.facts.errors import ApiError, NotFoundError
from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

SETTLE_SECONDS = 10.0
"""What follows an edit (old pods that go, comparisons) is over by then."""
MOST_ON_THE_WAY = 200
"""Services that are made and not ready yet: more of them make nothing faster."""


class Bench:
    """One run with one number of services; those that are there already are used."""

    def __init__(
        self, api: ApiClient, options: Options, sight: Sight, keep: Callable[[Result], None]
    ) -> None:
        self._api = api
        self._options = options
        self._sight = sight
        self._keep = keep
        self.result = Result(services=options.services)

    async def run(self) -> None:
        """Make the services, then run the scenarios; what each found is kept as soon as it has."""
        await self._fill()
        scenarios = {
            "rest": self._rest,
            "cold": self._cold_start,
            "failover": self._fail_over,
            "edits": self._edit_all,
            "still": self._edit_still,
            "wave": self._wave,
            "tenants": self._tenants,
        }
        for name in self._options.scenarios:
            tell(f"{self.result.services:,} services: {name}")
            try:
                await scenarios[name]()
            except (TimeoutError, ApiError, ExceptionGroup) as error:
                self.result.failed[name] = f"{type(error).__name__}: {error}"
                tell(f"{name} came to no end: {self.result.failed[name]}")
            self._keep(self.result)

    @contextlib.asynccontextmanager
    async def _replica(self) -> AsyncIterator[Replica]:
        """One that has decided on every service."""
        replica = Replica(self._options)
        await replica.start()
        try:
            async with replica.needed():
                await replica.wait(self._has_looked)
                yield replica
        finally:
            await replica.stop()

    def _has_looked(self, seen: Snapshot) -> bool:
        return seen.reconciles >= self._options.services and not seen.waiting

    async def _settle(self, replica: Replica) -> Snapshot:
        """Wait until the replica writes nothing any more."""
        before = await replica.read()
        while True:
            await asyncio.sleep(SETTLE_SECONDS)
            after = await replica.read()
            if after.writes == before.writes and not after.waiting:
                return after
            tell(f"  {after.writes - before.writes:.0f} writes in {SETTLE_SECONDS:.0f} s")
            before = after

    async def _fill(self) -> None:
        """Make what is missing, as many as get ready in time, and wait until nothing is left to do."""
        missing = [name for name in self._options.names if name not in self._sight.settled]
        tell(f"{self._options.services:,} services: {len(missing):,} of them are to be made")
        replica = Replica(self._options)
        await replica.start()
        started = time.perf_counter()
        try:
            async with replica.needed(), saying(self._how_far):
                made = await self._make(missing, started + 60 * self._options.fill_minutes)
            seconds = time.perf_counter() - started
            services = self._options.services - len(missing) + made
            self._options = replace(self._options, services=services)
            self.result.services = services
            if made:
                self.result.fill = FillRow(made=made, per_second=made / seconds)
            tell(f"{services:,} services are ready, {made:,} of them made in {seconds:.0f} s")
            await self._settle(replica)
        finally:
            await replica.stop()

    def _how_far(self) -> str:
        return f"{len(self._sight.generations):,} made, {self._sight.ready:,} ready"

    async def _make(self, names: list[str], until: float) -> int:
        """Make services, many at a time, and wait for each; no further one after `until`."""
        slots, made = asyncio.Semaphore(MOST_ON_THE_WAY), 0

        async def make(name: str) -> None:
            try:
                if name not in self._sight.generations:
                    body = self._options.make_service(name)
                    await self._api.create(MODEL_SERVICES, self._options.namespace, body, 60.0)
                await self._sight.wait(name, lambda: name in self._sight.settled)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            for made, name in enumerate(names, start=1):  # noqa: B007  the last one is asked for
                await slots.acquire()
                group.create_task(make(name))
                if time.perf_counter() > until:
                    tell("that is all for which there is time")
                    break
        return made

    async def _rest(self) -> None:
        async with self._replica() as replica:
            before = await self._settle(replica)
            seconds = max(self._options.seconds, 10.0)
            await asyncio.sleep(seconds)
            used = (await replica.read()).since(before)
        self.result.rest = RestRow(
            writes=used.writes,
            calls_per_second=used.calls / seconds,
            cpu_percent=100 * used.cpu_seconds / seconds,
        )
        tell(f"at rest: {used.writes:.0f} writes, {used.calls / seconds:.2f} calls/s, {used.rss_mib:.0f} MiB")

    async def _cold_start(self) -> None:
        replica = Replica(self._options)
        await replica.start()
        try:
            synced = await replica.wait(lambda one: one.synced == 1)
            looked = await replica.wait(self._has_looked)
            seen = await replica.read()
        finally:
            await replica.stop()
        self.result.cold = StartRow(
            first_seconds=synced, looked_seconds=looked, writes=seen.writes, rss_mib=seen.rss_mib
        )
        tell(
            f"cold start: {synced:.1f} s until everything is read, {looked:.1f} s until all was decided, "
            f"{seen.writes:.0f} writes, {seen.rss_mib:.0f} MiB"
        )

    async def _fail_over(self) -> None:
        """Kill the leader; the Lease has to run out first."""
        leader, second = (Replica(self._options, number, flags=()) for number in range(2))
        try:
            await leader.start()
            await leader.wait(lambda one: one.leads == 1)
            await leader.wait(self._has_looked)
            await second.start()
            await second.wait(lambda one: one.synced == 1)
            await leader.kill()
            killed_at = time.perf_counter() - second.started_at
            leads = await second.wait(lambda one: one.leads == 1) - killed_at
            looked = await second.wait(self._has_looked) - killed_at
            seen = await second.read()
        finally:
            await leader.kill()
            await second.stop()
        self.result.failover = StartRow(
            first_seconds=leads, looked_seconds=looked, writes=seen.writes, rss_mib=seen.rss_mib
        )
        tell(
            f"the leader is killed: another leads after {leads:.1f} s, has decided all after "
            f"{looked:.1f} s, {seen.writes:.0f} writes"
        )

    async def _edit_all(self) -> None:
        await self._edit_each(KINDS, contextlib.nullcontext)

    async def _edit_still(self) -> None:
        """What the operator and the API server do alone, where nothing else needs the cores."""
        if (plane := self._options.plane) is None:
            tell("the controllers of a cluster that was not started for this are left alone")
            return
        await self._edit_each((STILL,), plane.holding_still)

    async def _edit_each(
        self, kinds: Iterable[Kind], during: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Each kind at each rate, with one replica: what its memory grows to is seen in the last ones."""
        users = Users(self._api, self._options, self._sight)
        with contextlib.suppress(ApiError):
            await users.prepare()
        async with self._replica() as replica:
            for kind, rate in product(kinds, self._options.rates):
                self.result.edits.append(await self._edit(replica, users, kind, rate, during))
                self._keep(self.result)

    async def _edit(
        self,
        replica: Replica,
        users: Users,
        kind: Kind,
        rate: float,
        during: Callable[[], AbstractContextManager[None]],
    ) -> EditRow:
        before, plane = await self._settle(replica), self._options.plane
        plane_before = plane.cpu_seconds() if plane else 0.0
        started, busy_before = time.perf_counter(), busy_seconds()
        with during():
            async with saying(lambda: f"{kind.title} at {rate:.0f}/s: {users.how_far}"):
                reached = await users.edit(kind, rate)
            seconds, busy = time.perf_counter() - started, busy_seconds() - busy_before
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
            plane_cpu_ms=1000 * (plane.cpu_seconds() - plane_before) / count if plane else None,
            busy_percent=100 * busy / seconds / (os.cpu_count() or 1),
            rss_mib=used.rss_mib,
        )
        tell(
            f"{kind.title} at {rate:.0f}/s: Deployment p50 {row.deployment_p50:.0f} p99 "
            f"{row.deployment_p99:.0f} ms, status p50 {row.status_p50:.0f} p99 {row.status_p99:.0f} ms, a "
            f"ConfigMap p50 {row.plain_p50:.0f} p99 {row.plain_p99:.0f} ms, {row.calls:.1f} calls and "
            f"{row.cpu_ms:.0f} ms of CPU an edit, {row.rss_mib:.0f} MiB; the cores were busy for "
            f"{row.busy_percent:.0f} %"
        )
        return row

    async def _wait_ready(self) -> None:
        async with asyncio.timeout(self._options.patience_seconds), saying(self._how_far):
            while self._sight.ready < self._options.services:  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0.5)

    async def _wave(self) -> None:
        async with self._replica() as replica, Wave(self._api, self._options).members() as wave:
            before = await self._settle(replica)
            self._sight.most_moving = 0
            async with saying(wave.how_far), asyncio.timeout(self._options.patience_seconds):
                seconds = await wave.run()
            used = (await self._settle(replica)).since(before)
        self.result.wave = WaveRow(
            members=wave.count,
            most_concurrent=wave.most_concurrent,
            most_moving=self._sight.most_moving,
            seconds=seconds,
            writes=used.writes / wave.count,
            calls=used.calls / wave.count,
            cpu_ms=1000 * used.cpu_seconds / wave.count,
        )
        row = self.result.wave
        tell(
            f"a wave of {row.members}, at most {row.most_concurrent} at a time: {row.seconds:.0f} s, "
            f"{row.most_moving} moving at most, {row.writes:.1f} writes, {row.calls:.1f} calls and "
            f"{row.cpu_ms:.0f} ms of CPU a member"
        )

    async def _tenants(self) -> None:
        """The same edits of a small tenant, with all others at rest and with all of them due."""
        async with self._replica() as replica, small_tenant(self._api, self._options) as users:
            await self._settle(replica)
            await users.edit(REPLICAS, min(self._options.rates))
            rest = users.latencies
            before = await self._settle(replica)
            async with everybody_due(self._api):
                await asyncio.sleep(SETTLE_SECONDS)
                await users.edit(REPLICAS, min(self._options.rates))
                others = (await replica.read()).since(before)
        self.result.tenants = TenantRow(
            rest=EditTimes.of(rest), due=EditTimes.of(users.latencies), reconciles=others.reconciles
        )
        row = self.result.tenants
        tell(
            f"an edit of a small tenant, others at rest: {row.rest}; all of them due, with "
            f"{row.reconciles:.0f} reconciliations meanwhile: {row.due}"
        )


async def bench(options: Options, keep: Callable[[Result], None]) -> None:
    """Measure on a cluster that has our CRDs; what was made there stays."""
    async with ApiClient(kubeconfig_credentials(options.kubeconfig, None)) as api:
        await _unless_there(
            api.get(NAMESPACES, None, options.namespace), lambda: _make_namespace(api, options)
        )
        await _unless_there(
            api.get(MODEL_RUNTIMES, None, RUNTIME["metadata"]["name"]),
            lambda: api._call("POST", MODEL_RUNTIMES, MODEL_RUNTIMES.path(), body=RUNTIME),
        )
        async with watching(api, options.namespace) as sight:
            await Bench(api, options, sight, keep).run()


async def _unless_there(found: Awaitable[object], make: Callable[[], Awaitable[object]]) -> None:
    try:
        await found
    except NotFoundError:
        await make()


async def _make_namespace(api: ApiClient, options: Options) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": options.namespace}}
    await api._call("POST", NAMESPACES, NAMESPACES.path(), body=body)
