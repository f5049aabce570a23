"""An HPA of a ModelService scales on a server's own signals, through Prometheus and prometheus-adapter."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from hack.cluster.api import condition_status
from kubernetes.utils.quantity import parse_quantity
from tests.extras.aggregation import aggregated_api, wait_available
from tests.extras.prometheus_adapter import (
    PORT,
    Prometheus,
    Target,
    running,
    running_adapter,
    running_prometheus,
)
from tests.support.operator_process import wait_until
from tests.support.ports import free_port
from tests.unit.runtime.fake_nvml import make_nvml
from tests.unit.runtime.onnx_models import save_loop
from tests.unit.runtime.server_process import ServerProcess, server_process

from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.models.repository import ModelTable
from modelservice_runtime.observe.metrics import MetricsApplication

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster
    from tests.integration.operator.conftest import Kube, OperatorFactory

GROUP, VERSION = "custom.metrics.k8s.io", "v1beta2"
CALLERS, A_POD = 6, 2
"""Requests in flight all the time, and how many of them a pod is to have."""
PATIENCE_SECONDS = 120.0
TURNS = 20_000


class Pods:
    """A service's fake pods as Prometheus finds them: the first is the busy server, others the idle one."""

    def __init__(self, kube: Kube, prometheus: Prometheus, servers: Sequence[int], gpu_port: int) -> None:
        self._kube, self._prometheus = kube, prometheus
        self._busy_port, self._idle_port = servers
        self._gpu_port = gpu_port
        self._first = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Pods:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(0.5):
            names = [pod["metadata"]["name"] for pod in self._kube.items("pods")]
            if self._first not in names:
                self._first = min(names, default="")
            ports = {name: self._busy_port if name == self._first else self._idle_port for name in names}
            targets = [Target(self._kube.namespace, name, port) for name, port in ports.items()]
            targets += [Target(self._kube.namespace, name, self._gpu_port) for name in names]
            self._prometheus.scrape(targets)


class Load:
    """So many requests are in flight at any time, until it ends."""

    def __init__(self, url: str) -> None:
        tensor = {"name": "x", "datatype": "INT64", "shape": [1], "data": [TURNS]}
        self._request = urllib.request.Request(url, json.dumps({"inputs": [tensor]}).encode())
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            with urllib.request.urlopen(self._request, timeout=60) as response:
                response.read()


@contextlib.contextmanager
def server_inside(folder: Path, inside: Sequence[str]) -> Iterator[ServerProcess]:
    """A server whose model takes its time, where Prometheus can reach it."""
    model = f"loop={save_loop(folder / 'loop.onnx')}"
    with server_process("--model", model, "--drain-delay-seconds", "0", within=inside) as server:
        server.wait_for("ready")
        yield server


@contextlib.contextmanager
def gpu_page(folder: Path, inside: Sequence[str]) -> Iterator[int]:
    """What a server with a GPU tells of it, for this machine has none."""
    (folder / "gpu").mkdir()
    text = MetricsApplication(ModelTable(), open_gpus(lambda _: make_nvml(1))).render([]).decode()
    lines = [line for line in text.splitlines(keepends=True) if "nv_gpu" in line]
    (folder / "gpu" / "metrics").write_text("".join(lines), encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--directory", str(folder / "gpu")]
    with running([*inside, *command], folder / "gpu.log"):
        yield port


@pytest.fixture
def scaled(
    kube: Kube, control_plane: Cluster, make_operator: OperatorFactory, inside: Sequence[str], tmp_path: Path
) -> Iterator[Load]:
    """The load on a service that Prometheus scrapes; it has begun."""
    make_operator().start().wait_leading()
    metric = {"type": "Concurrency", "target": {"averageValue": str(A_POD)}}
    kube.apply_service(autoscaling={"provider": "HPA", "maxReplicas": 5, "metrics": [metric]})
    kube.wait_ready()
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(server_inside(tmp_path, inside)) for _ in range(2)]
        ports = [server.metrics_port for server in servers]
        gpu_port = held.enter_context(gpu_page(tmp_path, inside))
        prometheus = held.enter_context(running_prometheus(tmp_path, inside))
        held.enter_context(Pods(kube, prometheus, ports, gpu_port))
        port = control_plane.forward("127.0.0.1", servers[0].http_port)
        yield Load(f"http://127.0.0.1:{port}/v2/models/loop/infer")


def values(kube: Kube, metric: str) -> dict[str, float]:
    """What the API server says of each pod."""
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{kube.namespace}/pods/*/{metric}"
    found = kube.api.find(path) or {"items": []}
    return {one["describedObject"]["name"]: float(parse_quantity(one["value"])) for one in found["items"]}


def pods_wanted(kube: Kube) -> int:
    return int(kube.items("deployments")[0]["spec"]["replicas"])


def scaling_active(kube: Kube) -> dict[str, Any]:
    hpa = kube.api.get(kube.path("horizontalpodautoscalers", "spam"))
    conditions: list[dict[str, Any]] = hpa.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "ScalingActive"), {})


def check_namespaces_go(api: Api) -> None:
    """A deleted namespace is gone, which takes every registered API's answer."""
    with testing.fresh_namespace(api) as name:
        pass
    api.wait_gone(f"/api/v1/namespaces/{name}")


def test_hpa_follows_the_concurrency_of_a_server_and_the_cluster_is_left_as_it_was(
    scaled: Load, kube: Kube, control_plane: Cluster, inside: Sequence[str], tmp_path: Path
) -> None:
    api = kube.api
    with (
        running_adapter(control_plane, tmp_path, inside) as adapter,
        aggregated_api(api, GROUP, VERSION, PORT) as registered,
    ):
        wait_available(api, registered)
        with scaled:
            wanted = CALLERS // A_POD
            wait_until(lambda: pods_wanted(kube) == wanted, f"{wanted} pods are wanted", PATIENCE_SECONDS)
            kube.wait_ready()
            assert scaling_active(kube)["status"] == "True"
            wait_until(
                lambda: len(values(kube, "modelservice_concurrency")) == wanted, "all pods are measured"
            )
            concurrency = values(kube, "modelservice_concurrency")
            assert sum(concurrency.values()) == pytest.approx(CALLERS, abs=1)
            assert max(values(kube, "modelservice_requests_per_second").values()) > 0
            queue_seconds = values(kube, "modelservice_queue_seconds_p95")
            assert max(queue_seconds.values()) > 0
            assert min(queue_seconds.values()) == 0  # nobody waits in the others
            assert set(values(kube, "modelservice_gpu_utilization").values()) == {25.0}
            assert set(values(kube, "modelservice_gpu_memory_utilization").values()) == {10.0}
            assert pods_wanted(kube) == wanted
        wait_until(lambda: pods_wanted(kube) == 1, "one pod is wanted", PATIENCE_SECONDS)

        adapter.kill()
        wait_until(
            lambda: scaling_active(kube).get("status") == "False",
            "the HPA misses its metric",
            PATIENCE_SECONDS,
        )
        assert pods_wanted(kube) == 1
    assert api.find(registered) is None
    check_namespaces_go(api)
    assert condition_status(kube.service(), "Ready") == "True"
