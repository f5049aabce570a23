"""What the operator, the autoscaler and the activator need, by the number of ModelServices.

    python -m benchmarks.sizing --kubeconfig PATH [--services 0 100 1000] [--seconds 30]

It starts the three of this checkout as processes on a running cluster with fake nodes, and makes services
that the autoscaler follows and the activator stands in for. At each number it waits until all are ready, and
then reads each process's own metrics at the beginning and the end of some seconds of rest. Fake pods do not
answer the autoscaler, whose looks at pods `benchmarks.autoscaler_looks` measures. The namespace is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.scale.options import NAMESPACES, PARALLEL_CALLS, ROOT, RUNTIME
from modelservice_operator.client.credentials import kubeconfig_credentials
from modelservice_operator.client.kubeapi import ApiClient
from modelservice_operator.facts.errors import ApiError
from modelservice_operator.facts.kinds import (
    ENDPOINT_SLICES,
    MODEL_RUNTIMES,
    MODEL_SERVICES,
    SERVICES,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACTIVATOR = "activator"
ACTIVATOR_HOST = "127.0.0.77"
"""Of loopback, so that no program of this machine has its ports."""
SETTLE_SECONDS = 15.0


@dataclass(frozen=True)
class Usage:
    """What a process has used."""

    cpu_seconds: float
    rss_mib: float


@dataclass(frozen=True)
class Component:
    """One of the three processes."""

    name: str
    port: int

    async def read(self) -> Usage:
        """Its own account; raises aiohttp.ClientError."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/metrics") as response,
        ):
            lines = (await response.text()).splitlines()
        values = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("process_")}
        return Usage(values["process_cpu_seconds_total"], values["process_resident_memory_bytes"] / 2**20)


COMPONENTS = tuple(
    Component(name, 18_291 + number) for number, name in enumerate(("operator", "autoscaler", "activator"))
)


def make_service(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"storageUri": "oci://registry.example/models/spam:1"},
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
            "rollout": {"contract": "Ignore", "strategy": "BlueGreen"},
            "autoscaling": {
                "provider": "Builtin",
                "minReplicas": 0,
                "maxReplicas": 4,
                "idleSeconds": 86_400,
                "metrics": [{"type": "Concurrency", "target": {"averageValue": "8"}}],
            },
        },
    }


def command_of(component: Component, kubeconfig: str, namespace: str) -> list[str]:
    common = [
        *(sys.executable, "-m", f"modelservice_{component.name}", "--kubeconfig", kubeconfig),
        *("--namespace", namespace, "--http-port", str(component.port), "--log-level", "WARNING"),
    ]
    own = {
        "operator": [
            *("--lease-namespace", namespace, "--activator-service", f"{namespace}/{ACTIVATOR}"),
            *("--scaler-address", f"autoscaler.{namespace}.svc:9090"),
        ],
        "autoscaler": ["--lease-namespace", namespace, "--lease-name", "autoscaler", "--grpc-port", "18299"],
        "activator": ["--host", ACTIVATOR_HOST],
    }
    return common + own[component.name]


@contextlib.asynccontextmanager
async def running(kubeconfig: str, namespace: str) -> AsyncIterator[None]:
    """All three, ready."""
    processes = [
        await asyncio.create_subprocess_exec(
            *command_of(one, kubeconfig, namespace),
            cwd=ROOT / "operator",
            env={**os.environ, "POD_NAME": one.name},
        )
        for one in COMPONENTS
    ]
    try:
        async with asyncio.timeout(60):
            for one in COMPONENTS:
                while not await is_up(one):  # noqa: ASYNC110  there is nothing to wait for but an answer
                    await asyncio.sleep(0.2)
        yield
    finally:
        for process in processes:
            process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


async def is_up(component: Component) -> bool:
    try:
        await component.read()
    except aiohttp.ClientError:
        return False
    return True


async def announce_activator(api: ApiClient, namespace: str) -> None:
    """The Service and the slice that lead the operator to the activator, as its pods would have them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # nothing is sent; it tells an address of this machine
        address = probe.getsockname()[0]
    await api.create(
        SERVICES,
        namespace,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": ACTIVATOR, "namespace": namespace},
            "spec": {"clusterIP": "None", "ports": [{"name": "metrics", "port": 8081}]},
        },
        60.0,
    )
    await api.create(
        ENDPOINT_SLICES,
        namespace,
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": ACTIVATOR,
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": ACTIVATOR},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "metrics", "port": COMPONENTS[2].port}],
        },
        60.0,
    )


async def grow(api: ApiClient, namespace: str, before: int, count: int) -> None:
    """Make services until there are `count`, and wait until all are available."""
    slots = asyncio.Semaphore(PARALLEL_CALLS)

    async def create(number: int) -> None:
        async with slots:
            body = make_service(f"bench-{number}", namespace)
            await api.create(MODEL_SERVICES, namespace, body, 60.0)

    async with asyncio.TaskGroup() as group:
        for number in range(before, count):
            group.create_task(create(number))
    async with asyncio.timeout(900):
        while await count_available(api, namespace) < count:  # noqa: ASYNC110  see above
            await asyncio.sleep(2)


async def count_available(api: ApiClient, namespace: str) -> int:
    available = 0
    async for page in api.list_pages(MODEL_SERVICES, namespace):
        for item in page.items or ():
            conditions = item.get("status", {}).get("conditions", [])
            available += {"Available": "True"}.items() <= {
                one["type"]: one["status"] for one in conditions
            }.items()
    return available


async def measure(count: int, seconds: float) -> None:
    """Print one line for each process."""
    before = [await one.read() for one in COMPONENTS]
    started = time.monotonic()
    await asyncio.sleep(seconds)
    after = [await one.read() for one in COMPONENTS]
    lasted = time.monotonic() - started
    for component, first, last in zip(COMPONENTS, before, after, strict=True):
        cores = (last.cpu_seconds - first.cpu_seconds) / lasted
        print(
            f"{count:6d} services  {component.name:<11} {last.rss_mib:6.0f} MiB  {1000 * cores:6.0f} m",
            flush=True,
        )


async def bench(kubeconfig: str, counts: list[int], seconds: float) -> None:
    namespace = f"sizing-{os.getpid()}"
    async with ApiClient(kubeconfig_credentials(kubeconfig, None)) as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await api._call("POST", NAMESPACES, NAMESPACES.path(), body=body)
        with contextlib.suppress(ApiError):
            await api._call("POST", MODEL_RUNTIMES, MODEL_RUNTIMES.path(), body=RUNTIME)
        try:
            await announce_activator(api, namespace)
            async with running(kubeconfig, namespace):
                for before, count in zip([0, *counts], counts, strict=False):
                    await grow(api, namespace, before, count)
                    await asyncio.sleep(SETTLE_SECONDS)
                    await measure(count, seconds)
        finally:
            await api._call("DELETE", NAMESPACES, NAMESPACES.path(name=namespace))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--services", type=int, nargs="+", default=[0, 100, 1000])
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    asyncio.run(bench(str(options.kubeconfig), sorted(options.services), options.seconds))


if __name__ == "__main__":
    main()
