"""How fast the operator follows edits, and what that costs, on a running cluster with fake nodes.

    python -m benchmarks.operator_edits --kubeconfig PATH [--services 200] [--seconds 30] [--strategy Canary]

It starts the operator of this checkout as a process, creates ModelServices all at once, gives all of them
another model at once, then edits them at fixed rates. Latency is measured from outside: from sending the
user's edit until a watch of Deployments, opened by this script, delivers the changed (or new) Deployment.
Calls, memory and CPU come from the operator's own metrics. The namespace is deleted at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from modelservice_operator.client.credentials import kubeconfig_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import DEPLOYMENTS, MODEL_RUNTIMES, MODEL_SERVICES, Resource

ROOT = Path(__file__).parents[1]
METRICS_PORT = 18_281
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
PARALLEL_CALLS = 20
ROLLOUTS: dict[str, dict[str, Any]] = {
    "RollingUpdate": {},
    "Canary": {
        "strategy": "Canary",
        "canary": {"steps": [{"setWeight": 25}, {"pause": {"durationSeconds": 1}}, {"setWeight": 50}]},
        "contract": "Ignore",
    },
    "BlueGreen": {"strategy": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 0}, "contract": "Ignore"},
}
"""`spec.rollout` of each strategy. Fake pods cannot say what they serve: RollingUpdate waits in vain for
that, the others do not ask."""
RUNTIME = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelRuntime",
    "metadata": {"name": "onnx", "annotations": {"modelservice.dev/is-default-runtime": "true"}},
    "spec": {"image": "registry.example/modelservice-runtime:1"},
}


@dataclass
class Options:
    """What to run, and where."""

    kubeconfig: str
    services: int
    seconds: float
    rates: list[float]
    strategy: str = "RollingUpdate"
    namespace: str = field(default_factory=lambda: f"bench-{os.getpid()}")


@dataclass
class Snapshot:
    """The operator's counters at one moment."""

    calls: float
    writes: float
    cpu_seconds: float
    rss_mib: float
    reconciles: float


@dataclass
class Sight:
    """What the outside watch has seen of Deployments, by service."""

    replicas: dict[str, int] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, kind: str, deployment: dict[str, Any]) -> None:
        service = deployment["metadata"].get("labels", {}).get("modelservice.dev/name")
        if service is None:
            return
        name = deployment["metadata"]["name"]
        async with self.changed:
            names = self.names.setdefault(service, set())
            if kind == "DELETED":
                names.discard(name)
            else:
                names.add(name)
                self.replicas[service] = deployment["spec"]["replicas"]
            self.changed.notify_all()

    async def wait(self, condition: Callable[[], bool], timeout_seconds: float = 60.0) -> None:
        async with asyncio.timeout(timeout_seconds), self.changed:
            await self.changed.wait_for(condition)


def make_service(name: str, options: Options) -> dict[str, Any]:
    rollout = ROLLOUTS[options.strategy]
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": options.namespace},
        "spec": {
            "model": {"storageUri": "oci://registry.example/models/spam:1"},
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
            **({"rollout": rollout} if rollout else {}),
        },
    }


async def scrape() -> str:
    """The operator's metrics as text; raises aiohttp.ClientError."""
    url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def read_metrics() -> Snapshot:
    text = await scrape()
    prefix = "modelservice_operator_"
    totals: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        if name == f"{prefix}api_requests_total" and ('"WATCH"' in series or '"leases"' in series):
            continue
        totals[name] = totals.get(name, 0.0) + float(value)
    return Snapshot(
        calls=totals.get(f"{prefix}api_requests_total", 0.0),
        writes=totals.get(f"{prefix}writes_total", 0.0),
        cpu_seconds=totals["process_cpu_seconds_total"],
        rss_mib=totals["process_resident_memory_bytes"] / 2**20,
        reconciles=totals.get(f"{prefix}reconcile_total", 0.0),
    )


@contextlib.asynccontextmanager
async def running_operator(options: Options) -> AsyncIterator[None]:
    command = [
        *(sys.executable, "-m", "modelservice_operator", "--kubeconfig", options.kubeconfig),
        *("--namespace", options.namespace, "--lease-namespace", options.namespace),
        *("--http-host", "127.0.0.1", "--http-port", str(METRICS_PORT), "--log-level", "WARNING"),
    ]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT / "operator")
    try:
        async with asyncio.timeout(60):
            await poll(is_leading, 0.2)
        yield
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def is_leading() -> bool:
    try:
        return "modelservice_operator_leader 1.0" in await scrape()
    except aiohttp.ClientError:
        return False


async def poll(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until `condition` holds, looking every `seconds`."""
    while not await condition():  # noqa: ASYNC110  there is nothing to wait for but an answer
        await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def watching(api: ApiClient, options: Options) -> AsyncIterator[Sight]:
    sight = Sight()

    async def run() -> None:
        version = "0"
        async for page in api.list_pages(DEPLOYMENTS, options.namespace):
            version = page.metadata.resource_version
        while True:
            async for event in api.watch(DEPLOYMENTS, options.namespace, version):
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    await sight.note(event.type, event.object)

    task = asyncio.create_task(run())
    try:
        yield sight
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def count_ready(api: ApiClient, options: Options) -> int:
    ready = 0
    async for page in api.list_pages(MODEL_SERVICES, options.namespace):
        for item in page.items or ():
            status = item.get("status", {})
            conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
            current = status.get("observedGeneration") == item["metadata"]["generation"]
            ready += current and conditions.get("Ready") == "True"
    return ready


async def wait_ready(api: ApiClient, options: Options, timeout_seconds: float = 600.0) -> None:
    async def all_ready() -> bool:
        return await count_ready(api, options) == options.services

    async with asyncio.timeout(timeout_seconds):
        await poll(all_ready, 1.0)


async def create_all(api: ApiClient, options: Options, sight: Sight) -> None:
    slots = asyncio.Semaphore(PARALLEL_CALLS)

    async def create(name: str) -> None:
        async with slots:
            await api.create(MODEL_SERVICES, options.namespace, make_service(name, options), 60.0)

    before = await read_metrics()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for name in names(options):
            group.create_task(create(name))
    created = time.perf_counter() - started
    await sight.wait(lambda: len(sight.names) == options.services, 600)
    deployed = time.perf_counter() - started
    await wait_ready(api, options)
    ready = time.perf_counter() - started
    print(f"\n{options.services} ModelServices at once")
    show("all created by the user", created, "s")
    show("all Deployments exist", deployed, "s")
    show("all Ready (fake pods)", ready, "s")
    show_costs(before, await read_metrics(), options)


async def change_all(api: ApiClient, options: Options, sight: Sight) -> None:
    """Give every service another model at once; print when that was seen and complete, and the costs."""
    editor = Editor(api, options, sight)
    before = await read_metrics()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, service in enumerate(names(options)):
            group.create_task(editor.edit(service, plan_model(sight, service, number)))
    await wait_ready(api, options)
    complete = time.perf_counter() - started
    await asyncio.sleep(10)
    print(f"\n{options.services} changes at once ({options.strategy})")
    show("p50 of the user's call", percentile(editor.user_ms, 50), "ms")
    show("p50 until the Deployment is seen", percentile(editor.seen_ms, 50), "ms")
    show("p99 until the Deployment is seen", percentile(editor.seen_ms, 99), "ms")
    show("all complete (fake pods)", complete, "s")
    show_costs(before, await read_metrics(), options)
    await measure_rest(options.seconds)


def show_costs(before: Snapshot, after: Snapshot, options: Options) -> None:
    show("API calls of the operator", (after.calls - before.calls) / options.services, "a service")
    show("writes of the operator", (after.writes - before.writes) / options.services, "a service")
    show("CPU of the operator", after.cpu_seconds - before.cpu_seconds, "s")
    show("memory of the operator (RSS)", after.rss_mib, "MiB")


def show(what: str, value: float, unit: str) -> None:
    print(f"  {what:<32} {value:8.1f} {unit}")


def names(options: Options) -> list[str]:
    return [f"bench-{number}" for number in range(options.services)]


Planned = tuple[dict[str, Any], Callable[[], bool]]
"""The patch of one edit, and whether the watch has seen it arrive."""


@dataclass(frozen=True)
class Edit:
    """One kind of edit."""

    title: str
    plan: Callable[[Sight, str, int], Planned]


def plan_replicas(sight: Sight, service: str, _: int) -> Planned:
    wanted = 3 - sight.replicas[service]  # 1 -> 2, 2 -> 1
    return {"spec": {"replicas": wanted}}, lambda: sight.replicas[service] == wanted


def plan_model(sight: Sight, service: str, number: int) -> Planned:
    known = set(sight.names[service])
    uri = f"oci://registry.example/models/spam:{time.time_ns()}-{number}"
    return {"spec": {"model": {"storageUri": uri}}}, lambda: bool(sight.names[service] - known)


EDITS = (Edit("spec.replicas", plan_replicas), Edit("spec.model (new revision)", plan_model))


@dataclass
class Editor:
    """Edits services as a user and notes how long that takes, in milliseconds, one value an edit."""

    api: ApiClient
    options: Options
    sight: Sight
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL_CALLS))
    user_ms: list[float] = field(default_factory=list)
    """The user's own call."""
    seen_ms: list[float] = field(default_factory=list)
    """From sending it until the watch delivered the Deployment."""

    async def edit(self, service: str, planned: Planned) -> None:
        patch, is_seen = planned
        async with self.slots:
            started = time.perf_counter()
            await self.api._call(
                "PATCH",
                MODEL_SERVICES,
                MODEL_SERVICES.path(self.options.namespace, service),
                body=patch,
                content_type="application/merge-patch+json",
                timeout_seconds=60,
            )
        self.user_ms.append(1000 * (time.perf_counter() - started))
        await self.sight.wait(is_seen, 300)
        self.seen_ms.append(1000 * (time.perf_counter() - started))


async def run_edits(api: ApiClient, options: Options, sight: Sight, edit: Edit, rate: float) -> None:
    """Edit services in turn at `rate` a second; print the latencies and the costs."""
    count = int(options.seconds * rate)
    editor = Editor(api, options, sight)
    before = await read_metrics()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            service = names(options)[number % options.services]
            planned = edit.plan(sight, service, number)
            group.create_task(editor.edit(service, planned))
    lasted = time.perf_counter() - started
    await wait_ready(api, options)
    await asyncio.sleep(3)
    after = await read_metrics()
    cpu = after.cpu_seconds - before.cpu_seconds
    print(
        f"{edit.title:<26} {rate:5.0f}/s {count:6d} {percentile(editor.user_ms, 50):9.0f} "
        f"{percentile(editor.seen_ms, 50):8.0f} {percentile(editor.seen_ms, 99):8.0f} "
        f"{(after.calls - before.calls) / count:10.1f} {1000 * cpu / count:11.1f} "
        f"{after.rss_mib:8.0f} {count / lasted:9.1f}"
    )


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


async def measure_rest(seconds: float) -> None:
    before = await read_metrics()
    await asyncio.sleep(seconds)
    after = await read_metrics()
    print(f"\nAt rest for {seconds:.0f} s")
    show("writes", after.writes - before.writes, "")
    show("API calls (without the Lease)", after.calls - before.calls, "")
    show("CPU", 100 * (after.cpu_seconds - before.cpu_seconds) / seconds, "% of a core")
    show("memory (RSS)", after.rss_mib, "MiB")


async def bench(options: Options) -> None:
    credentials = kubeconfig_credentials(options.kubeconfig, None)
    async with ApiClient(credentials) as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": options.namespace}}
        await api._call("POST", NAMESPACES, NAMESPACES.path(), body=body)
        with contextlib.suppress(ApiError):
            await api._call("POST", MODEL_RUNTIMES, MODEL_RUNTIMES.path(), body=RUNTIME)
        try:
            async with running_operator(options), watching(api, options) as sight:
                await create_all(api, options, sight)
                await asyncio.sleep(5)
                await change_all(api, options, sight)
                if options.rates:
                    print(
                        "\nEdits                        rate  count   user ms   p50 ms   p99 ms calls/edit "
                        "CPU ms/edit  RSS MiB  edits/s"
                    )
                for edit in EDITS:
                    for rate in options.rates:
                        await run_edits(api, options, sight, edit, rate)
                if options.rates:
                    await asyncio.sleep(10)
                    await measure_rest(options.seconds)
        finally:
            await api._call("DELETE", NAMESPACES, NAMESPACES.path(name=options.namespace))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", default=os.environ.get("KUBECONFIG", ""))
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each rate is kept up")
    parser.add_argument("--rates", type=float, nargs="*", default=[2.0, 20.0], help="edits a second")
    parser.add_argument("--strategy", choices=ROLLOUTS, default="RollingUpdate")
    args = parser.parse_args()
    asyncio.run(bench(Options(args.kubeconfig, args.services, args.seconds, args.rates, args.strategy)))


if __name__ == "__main__":
    main()
