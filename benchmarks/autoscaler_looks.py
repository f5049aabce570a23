"""What it costs to look at many autoscaled services at rest.

    python -m benchmarks.autoscaler_looks [--services 1000] [--seconds 30]

Needs root: it makes a control plane in a network namespace of its own, in which one process answers for the
pods' addresses, and runs the autoscaler of this checkout beside it. The load of the pods does not change.
Calls, memory and CPU come from the autoscaler's own metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import ipaddress
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hack.cluster import testing
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS, namespace_name

from modelservice_operator.facts import ports
from modelservice_operator.facts.labels import (
    API_VERSION,
    MANAGED_BY,
    MANAGER,
    NAME,
    SLICE_MANAGED_BY,
    SLICE_OF,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[1]
ADDRESSES = ipaddress.ip_network("10.250.0.0/16")
NAMESPACE = "bench"
PODS = 4
AUTOSCALER_PORT = 18_282
SETTLE_SECONDS = 20.0
PARALLEL_CALLS = 8


@dataclass(frozen=True)
class Snapshot:
    """The autoscaler's counters at one moment."""

    at_seconds: float
    totals: dict[str, float]

    def per_second(self, before: Snapshot, name: str) -> float:
        """Return how fast a counter grew."""
        grown = self.totals.get(name, 0.0) - before.totals.get(name, 0.0)
        return grown / (self.at_seconds - before.at_seconds)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pods-of", metavar="ADDRESS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pods_of:
        asyncio.run(answer_for_pods(arguments.pods_of))
        return
    with testing.running_cluster("bench", "MODELSERVICE_BENCH_CLUSTER", node=False) as cluster:
        create_services(cluster.api, arguments.services)
        with running_pods(cluster), running_autoscaler(cluster):
            before, after = observe(cluster, arguments.services, arguments.seconds)
    report(before, after, arguments.services)


def create_services(api: Api, count: int) -> None:
    """Create services whose status says that they are ours to scale, and the addresses of their pods."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        api.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    time.sleep(2)
    with ThreadPoolExecutor(PARALLEL_CALLS) as pool:
        list(pool.map(lambda index: create_service(api, index), range(count)))


def create_service(api: Api, index: int) -> None:
    name = f"service-{index}"
    base = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/modelservices"
    api.create(base, make_service(name))
    api.patch(f"{base}/{name}/status", {"status": {"autoscaling": {"engine": "Builtin"}}})
    api.create(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices", make_slice(name, index))


def make_service(name: str) -> dict[str, Any]:
    concurrency = {"type": "Concurrency", "target": {"averageValue": "8"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"storageUri": "oci://registry.example/models/spam:1"},
            "replicas": PODS,
            "autoscaling": {"provider": "Builtin", "maxReplicas": 8, "metrics": [concurrency]},
        },
    }


def make_slice(name: str, index: int) -> dict[str, Any]:
    first = int(ADDRESSES[256]) + PODS * index
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                SLICE_OF: name,
                NAME: name,
                MANAGED_BY: MANAGER,
                SLICE_MANAGED_BY: "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [str(ipaddress.ip_address(first + pod))],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": f"{name}-{pod}", "uid": f"{name}-{pod}"},
            }
            for pod in range(PODS)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


@contextlib.contextmanager
def running_pods(cluster: Cluster) -> Iterator[None]:
    """One process that answers at every address of a pod."""
    inside = ("ip", "netns", "exec", namespace_name(cluster.name))
    route = ("ip", "route", "replace", "local", str(ADDRESSES), "dev", "lo")
    subprocess.run([*inside, *route], check=True)
    with running([*inside, sys.executable, "-m", "benchmarks.autoscaler_looks", "--pods-of", "0.0.0.0"]):
        yield


@contextlib.contextmanager
def running_autoscaler(cluster: Cluster) -> Iterator[None]:
    """The autoscaler of this checkout, with an administrator's rights."""
    with tempfile.TemporaryDirectory() as directory:
        kubeconfig = Path(directory) / "kubeconfig"
        write_kubeconfig(kubeconfig, cluster.paths.pki, "admin", f"https://{NODE_ADDRESS}:6443")
        command = [
            *("ip", "netns", "exec", namespace_name(cluster.name)),
            *(sys.executable, "-m", "modelservice_autoscaler", "--kubeconfig", str(kubeconfig)),
            *("--lease-namespace", NAMESPACE, "--log-level", "WARNING"),
            *("--http-host", NODE_ADDRESS, "--http-port", str(AUTOSCALER_PORT)),
        ]
        with running(command):
            yield


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[None]:
    """A process for as long as this lasts."""
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def observe(cluster: Cluster, services: int, seconds: float) -> tuple[Snapshot, Snapshot]:
    """Return the counters before and after some seconds at rest."""
    port = cluster.forward(NODE_ADDRESS, AUTOSCALER_PORT)
    deadline = time.monotonic() + 120
    while read(port).totals.get("modelservice_autoscaler_followed_services", 0.0) < services:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all services are followed: {read(port).totals}")
        time.sleep(0.5)
    time.sleep(SETTLE_SECONDS)
    before = read(port)
    time.sleep(seconds)
    return before, read(port)


def read(port: int) -> Snapshot:
    """The autoscaler's metrics; nothing as long as it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        text = ""
    finally:
        connection.close()
    totals: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        series, _, value = line.rpartition(" ")
        name = series.partition("{")[0]
        # Watches are renewed and the Lease is kept whatever the services do.
        if name.endswith("api_requests_total") and ('"WATCH"' in series or '"leases"' in series):
            continue
        if name.endswith("_looks_total"):
            name = series
        totals[name] = totals.get(name, 0.0) + float(value)
    return Snapshot(time.monotonic(), totals)


def report(before: Snapshot, after: Snapshot, services: int) -> None:
    """Print what it costs."""
    prefix = "modelservice_autoscaler"
    looks = after.per_second(before, f'{prefix}_looks_total{{result="ok"}}')
    silent = after.per_second(before, f'{prefix}_looks_total{{result="silent"}}')
    rounds = after.per_second(before, f"{prefix}_look_duration_seconds_count")
    waited = after.per_second(before, f"{prefix}_look_duration_seconds_sum")
    cores = after.per_second(before, "process_cpu_seconds_total")
    print(f"{services} services of {PODS} pods, at rest")
    print(f"  answers of pods {looks:,.0f}/s, silent {silent:,.1f}/s; looks at services {rounds:,.0f}/s")
    print(f"  a look takes {1e3 * waited / max(rounds, 1e-9):.1f} ms")
    print(f"  CPU {cores:.2f} cores, {1e6 * cores / max(looks, 1e-9):.0f} us an answer")
    print(f"  memory {after.totals['process_resident_memory_bytes'] / 2**20:.0f} MiB")
    calls = after.per_second(before, "modelservice_autoscaler_api_requests_total")
    print(f"  calls of the API server {calls:.2f}/s")


class FakePod(asyncio.Protocol):
    """Answers every request alike: half of the target is in flight since it started."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, _data: bytes) -> None:
        now = time.monotonic()
        load = {
            "uptimeSeconds": now,
            "running": 7,
            "waiting": 0,
            "inFlightSeconds": 7.5 * now,
            "requests": int(80 * now),
            "idleSeconds": 0.0,
            "queueSeconds": {"bounds": [0.001, 0.01, 0.1], "counts": [int(80 * now), 0, 0, 0]},
            "cpuSeconds": now / 2,
            "memoryBytes": 2**30,
            "gpus": [],
        }
        body = json.dumps(load).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)  # type: ignore[attr-defined]


async def answer_for_pods(address: str) -> None:
    """Answer until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(FakePod, address, ports.METRICS, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    main()
