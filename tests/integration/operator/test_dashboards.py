"""Every query of the dashboards has an answer of a real Prometheus that scrapes all our processes at work."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import struct
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import prometheus_client
import pytest
from hack.cluster import testing
from hack.generate.metrics import exported
from tests.integration.operator.conftest import PATIENT_LEASE, Kube
from tests.support.activator_process import ActivatorProcess, own_address, put_slice
from tests.support.dashboards import (
    filled_in,
    label_values,
    queries,
    wait_answered,
)
from tests.support.operator_process import OperatorOptions, OperatorProcess, wait_until
from tests.support.played_pods import played_pods, pod_addresses
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, Target, running_prometheus
from tests.support.serving import ask_adder
from tests.support.tiny_chat import PAIRS, make_tiny_chat
from tests.support.tiny_models import make_adder
from tests.unit.runtime.server_process import ServerProcess, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc

from modelservice_operator import metrics
from modelservice_operator.explain.fleet import COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[3]
STANDBY, CONTROLLER = "activator.modelservice.dev", "endpointslice-controller.k8s.io"
NAME, SLEEPER = "spam", "sleeper"
AUTOSCALING = {
    "provider": "Builtin",
    "maxReplicas": 4,
    "metrics": [{"type": "Concurrency", "target": {"averageValue": "2"}}],
}
ROLLOUT = {
    "strategy": "Canary",
    "canary": {"steps": [{"setWeight": 50}, {"pause": {}}]},
    "contract": "Ignore",
}
WITH_A_DEVICE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.unit.runtime.fake_nvml import make_nvml
sys.modules["pynvml"] = make_nvml(1)
from modelservice_runtime.serving import serve
sys.exit(serve.run(sys.argv[1:]))
"""
"""The real server, with a stand-in for the library of NVIDIA's driver."""
SELDOM = ("modelservice_operator_cold_start_seconds", "modelservice_operator_runtime_rollout_")
"""Series of services that wake and of RuntimeRollouts, which an operator of one namespace does not have."""
SOMEWHERE = ("modelservice_worker", "modelservice_memory_", "vllm:")
ADDRESS = own_address()

pytestmark = pytest.mark.skipif(ADDRESS is None, reason="an EndpointSlice takes no loopback address")


class Installation:
    """All processes, at work for one namespace."""

    def __init__(self, kube: Kube, folder: Path, server: ServerProcess) -> None:
        self.kube = kube
        self.server = server
        self._folder = folder
        self.components: dict[str, OperatorProcess] = {}

    def start(self, cluster: Cluster, module: str, *flags: str) -> OperatorProcess:
        options = OperatorOptions(
            kubeconfig=cluster.kubeconfig,
            namespace=self.kube.namespace,
            log=self._folder / f"{module}.log",
            flags=(*PATIENT_LEASE, *flags),
            module=module,
        )
        made = self.components[module] = OperatorProcess(options)
        return made.start()

    def start_activator(self, cluster: Cluster) -> ActivatorProcess:
        log = self._folder / "activator.log"
        made = ActivatorProcess(cluster.kubeconfig, self.kube.namespace, log, host="127.0.0.2")
        self.components["modelservice_activator"] = made
        return made.start()

    def targets(self) -> list[Target]:
        """What PodMonitors of the chart would find."""
        revision = self.kube.service(NAME)["status"]["targetRevision"]
        of_model = {
            "namespace": self.kube.namespace,
            "pod": f"{NAME}-{revision}-7d9f8b6c5d-x2k9p",
            "modelservice_dev_name": NAME,
            "modelservice_dev_revision": revision,
        }
        ours = [
            Target(process.port, {"namespace": "modelservice-system", "pod": f"{module}-0"})
            for module, process in self.components.items()
        ]
        return [*ours, Target(self.server.metrics_port, of_model)]

    def component_pages(self) -> dict[str, str]:
        """What the components say to a scrape, by their modules."""
        return {module: process.page() for module, process in self.components.items()}

    def server_page(self) -> str:
        """What the server says to a scrape."""
        url = f"http://127.0.0.1:{self.server.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=120) as response:
            return str(response.read().decode())

    def kill(self) -> None:
        for process in self.components.values():
            process.kill()


@pytest.fixture(scope="module")
def observed(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service in the middle of a canary that the autoscaler steers, and one that sleeps."""
    folder = tmp_path_factory.mktemp("observed")
    model = folder / "adder.onnx"
    model.write_bytes(make_adder(1.0))
    chat = make_tiny_chat(folder / "chat")
    arguments = ("--model", f"adder={model}", "--model", f"chat={chat}", "--host", "0.0.0.0")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(server_process(*arguments, program=WITH_A_DEVICE))
        kube = Kube(installed.api, stack.enter_context(testing.fresh_namespace(installed.api)))
        addresses = stack.enter_context(pod_addresses())
        fleet = stack.enter_context(played_pods(installed.api, f"{kube.namespace}-node", addresses))
        found = Installation(kube, folder, server)
        stack.callback(found.kill)
        address = f"autoscaler.{kube.namespace}.svc:9090"
        operator = found.start(installed, "modelservice_operator", "--scaler-address", address)
        grpc_port = ("--grpc-port", str(free_port()), "--lease-name", "autoscaler")
        autoscaler = found.start(installed, "modelservice_autoscaler", *grpc_port)
        activator = found.start_activator(installed)

        def apply(tag: str) -> None:
            kube.apply_service(
                NAME, tag, scheduling=fleet.node.scheduling, autoscaling=AUTOSCALING, rollout=ROLLOUT
            )

        apply("1")
        server.wait_for("ready")
        for process in (operator, autoscaler):
            process.wait_leading()
        activator.wait_ready()
        wait_until(lambda: kube.service(NAME).get("status", {}).get("stableRevision"), f"{NAME} serves", 120)
        fleet.traffic.set(3.0)
        wait_until(lambda: kube.service(NAME).get("status", {}).get("autoscaler"), "it is steered", 120)
        apply("2")
        wait_until(lambda: kube.service(NAME)["status"]["rollout"].get("paused"), "the canary pauses", 120)
        yield found


def ask_all_protocols(server: ServerProcess) -> None:
    """One request of each, and one that is wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=120)
    with contextlib.closing(connection), grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert ask_adder(connection, "adder", 1.0) == 2.0
        connection.request("POST", "/v2/models/adder/infer", b"{}")
        connection.getresponse().read()
        words = {"model": "chat", "messages": [{"role": "user", "content": PAIRS[0][0]}], "max_tokens": 4}
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(words), {"Content-Type": "application/json"}
        )
        assert connection.getresponse().read()
        tensor = service_pb2.ModelInferRequest.InferInputTensor(name="values", datatype="FP32", shape=[1])
        request = service_pb2.ModelInferRequest(
            model_name="adder", inputs=[tensor], raw_input_contents=[struct.pack("<f", 1.0)]
        )
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)


@contextlib.contextmanager
def asked_again_and_again(act: Callable[[], None]) -> Iterator[None]:
    """Requests as long as this lasts."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.05):
            act()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            stop.set()
            asking.result(120)


def wake(kube: Kube, activator: ActivatorProcess, server: ServerProcess) -> None:
    """A request for a service that sleeps is held until it has a pod."""
    assert ADDRESS is not None
    ports = {"http": free_port(), "grpc": free_port()}
    kube.apply_service(SLEEPER, replicas=0, autoscaling={"minReplicas": 0, "maxReplicas": 1})
    put_slice(kube.api, kube.namespace, SLEEPER, STANDBY, ADDRESS, **ports)
    activator.wait_listening(kube.namespace, SLEEPER)
    connection = http.client.HTTPConnection(activator.host, ports["http"], timeout=120)
    with contextlib.closing(connection), ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask_adder, connection, "adder", 2.0)
        wait_until(lambda: kube.service(SLEEPER)["spec"]["replicas"] == 1, "it is woken")
        numbers = {"http": server.http_port, "grpc": server.grpc_port}
        put_slice(kube.api, kube.namespace, SLEEPER, CONTROLLER, ADDRESS, **numbers)
        assert held.result(120) == 3.0


@pytest.fixture(scope="module")
def prometheus(observed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped everything before and after all that."""
    folder = tmp_path_factory.mktemp("prometheus")
    activator = observed.components["modelservice_activator"]
    assert isinstance(activator, ActivatorProcess)
    with (
        running_prometheus(folder, observed.targets()) as running,
        asked_again_and_again(lambda: ask_all_protocols(observed.server)),
    ):
        wake(observed.kube, activator, observed.server)
        happened = time.time()
        wait_until(
            lambda: len(running.ask(f"timestamp(up) > {happened}")) == len(observed.targets()),
            "everything was scraped after that",
        )
        yield running


def test_every_query_of_the_dashboards_has_an_answer(observed: Installation, prometheus: Prometheus) -> None:
    page = observed.server_page()
    missing = [
        name
        for name in ("modelservice_memory_working_set_bytes", "modelservice_memory_limit_bytes")
        if f"\n{name} " not in page
    ]  # where no control group of this machine tells
    variables = {"namespace": observed.kube.namespace, "service": NAME}
    asked = [one for one in queries() if not any(name in one.expression for name in (*SELDOM, *missing))]
    assert len(asked) > 80
    wait_answered(prometheus, asked, variables)


def test_queries_of_what_happens_seldom_have_answers_of_the_operators_own_series(tmp_path: Path) -> None:
    server, thread = prometheus_client.start_http_server(port := free_port(), "127.0.0.1", metrics.REGISTRY)
    try:
        with running_prometheus(
            tmp_path, [Target(port, {"namespace": "ops", "pod": "operator-0"})]
        ) as running:
            for phase in ("schedule", "fetch", "total"):
                metrics.COLD_START_SECONDS.labels(phase).observe(2.0)
            metrics.FLEET_PHASE.labels("cve", "Progressing").set(1)
            for state in COUNTED:
                metrics.FLEET_MEMBERS.labels("cve", state).set(1)
            for naming in SELDOM:
                asked = queries(naming)
                assert asked
                wait_answered(running, asked, {"namespace": ".*"})
    finally:
        server.shutdown()
        server.server_close()
        thread.join(120)


def test_processes_tell_what_the_documentation_lists_and_nothing_else(observed: Installation) -> None:
    listed = exported()
    pages = {module.removeprefix("modelservice_"): one for module, one in observed.component_pages().items()}
    pages["server"] = observed.server_page()
    for name, page in pages.items():
        told = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
        wanted = {metric.name for metric in listed[name]}
        if name == "operator":
            wanted |= {metric.name for metric in listed["services"]}
        # Some need several workers, a control group, or a model that generates text.
        # What there is more is of any process.
        assert {one for one in wanted - told if not one.startswith(SOMEWHERE)} == set(), name
        assert told - wanted <= {metric.name for metric in listed["process"]}, name


def test_what_is_misspelt_or_of_another_service_has_none(
    observed: Installation, prometheus: Prometheus
) -> None:
    namespace = observed.kube.namespace
    query = 'sum(modelservice_replicas_ready{namespace="$namespace",name="$service"})'
    assert prometheus.ask(filled_in(query, {"namespace": namespace, "service": NAME}))
    assert not prometheus.ask(filled_in(query, {"namespace": namespace, "service": "ham"}))
    assert not prometheus.ask(query.replace("_ready", "_raedy"))
    assert not prometheus.ask(label_values("label_values(modelservice_info, namspace)"))
