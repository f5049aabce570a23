"""Real activators between real clients, a real API server and the real runtime as the pod."""

from __future__ import annotations

import errno
import http.client
import signal
import socket
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import Kube, open_proxy
from tests.support.activator_process import ActivatorProcess, own_address, put_slice
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.operator_process import proxy_kubeconfig, wait_until
from tests.support.ports import free_port
from tests.support.rights import limited_to
from tests.support.serving import ask_adder
from tests.support.tiny_models import make_adder
from tests.unit.runtime.server_process import ServerProcess, server_process
from tritonclient.grpc import service_pb2, service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ADDRESS = own_address()
STANDBY, CONTROLLER = "activator.modelservice.dev", "endpointslice-controller.k8s.io"
AUTOSCALING = {"minReplicas": 0, "maxReplicas": 2}
WAKES = "modelservice_activator_wakes_total"
PASSED = "modelservice_activator_requests_total"
HELD = "modelservice_activator_held_requests"

pytestmark = pytest.mark.skipif(ADDRESS is None, reason="an EndpointSlice takes no loopback address")


@pytest.fixture(scope="module")
def kube(installed) -> Iterator[Kube]:
    """One namespace for all tests of this module."""
    with testing.fresh_namespace(installed.api) as namespace:
        yield Kube(installed.api, namespace)


@pytest.fixture(scope="module")
def pod(tmp_path_factory) -> Iterator[ServerProcess]:
    """The server of a pod that adds 1."""
    model = tmp_path_factory.mktemp("model") / "adder.onnx"
    model.write_bytes(make_adder(1.0))
    with server_process("--model", f"adder={model}", "--host", "0.0.0.0") as server:
        server.wait_for("ready")
        yield server


@pytest.fixture(scope="module")
def proxy(installed) -> Iterator[FaultProxy]:
    """Between the second activator and the API server."""
    with open_proxy(installed) as running:
        yield running


@pytest.fixture(scope="module")
def activators(installed, kube, proxy, tmp_path_factory) -> Iterator[list[ActivatorProcess]]:
    """Two replicas: one with the rights of the install manifests, one behind the proxy."""
    folder: Path = tmp_path_factory.mktemp("activators")
    with limited_to(installed, kube.namespace, "modelservice-operator-activator", folder) as limited:
        made = [
            ActivatorProcess(limited, kube.namespace, folder / "0.log", host="127.0.0.2").start(),
            ActivatorProcess(
                proxy_kubeconfig(folder / "proxied", proxy.url),
                kube.namespace, folder / "1.log", host="127.0.0.3",
            ).start(),
        ]  # fmt: skip
        for one in made:
            one.wait_ready()
        yield made
        for one in made:
            one.kill()


@dataclass
class Sleeper:
    """A service that sleeps, and its clients."""

    kube: Kube
    name: str
    ports: dict[str, int]
    pod: ServerProcess

    def lead_here(self, ready: bool = True) -> None:
        """Lead clients to the activators, or to pods."""
        assert ADDRESS is not None
        put_slice(self.kube.api, self.kube.namespace, self.name, STANDBY, ADDRESS, ready=ready, **self.ports)

    def give_pod(self) -> None:
        """A pod is ready."""
        assert ADDRESS is not None
        numbers = {"http": self.pod.http_port, "grpc": self.pod.grpc_port}
        put_slice(self.kube.api, self.kube.namespace, self.name, CONTROLLER, ADDRESS, **numbers)

    @property
    def replicas(self) -> int:
        return int(self.kube.service(self.name)["spec"]["replicas"])

    def ask_http(self, host: str, value: float) -> float:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(host, self.ports["http"], timeout=120)
        try:
            return ask_adder(connection, "adder", value)
        finally:
            connection.close()

    def ask_grpc(self, channel: grpc.Channel, value: float) -> float:
        """One call."""
        tensor = service_pb2.ModelInferRequest.InferInputTensor(name="values", datatype="FP32", shape=[1])
        request = service_pb2.ModelInferRequest(
            model_name="adder", inputs=[tensor], raw_input_contents=[struct.pack("<f", value)]
        )
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=120)
        return float(struct.unpack("<f", answer.raw_output_contents[0])[0])


@pytest.fixture
def make_sleeper(kube, pod, activators) -> Callable[[str], Sleeper]:
    """Make a service that sleeps, for which the activators listen."""

    def make(name: str) -> Sleeper:
        kube.apply_service(name, replicas=0, autoscaling=AUTOSCALING)
        sleeper = Sleeper(kube, name, {"http": free_port(), "grpc": free_port()}, pod)
        sleeper.lead_here()
        for one in activators:
            if one.is_running():
                one.wait_listening(kube.namespace, name)
                assert one.ports(kube.namespace, name) == sleeper.ports
        return sleeper

    return make


def counted(activators: list[ActivatorProcess], name: str, **labels: str) -> float:
    return sum(one.metric(name, **labels) for one in activators)


def test_two_activators_wake_it_once_and_every_request_is_answered(make_sleeper, activators):
    sleeper = make_sleeper("spam")
    before = counted(activators, WAKES, outcome="written")
    generation = sleeper.kube.service("spam")["metadata"]["generation"]
    channels = [grpc.insecure_channel(f"{one.host}:{sleeper.ports['grpc']}") for one in activators]
    with ThreadPoolExecutor(64) as pool:
        asked: list[Future[float]] = []
        for number in range(16):
            for one, channel in zip(activators, channels, strict=True):
                asked.append(pool.submit(sleeper.ask_http, one.host, number))
                asked.append(pool.submit(sleeper.ask_grpc, channel, number))
        wait_until(lambda: counted(activators, HELD) == 64, "all requests are held")
        wait_until(lambda: sleeper.replicas == 1, "it is woken")
        sleeper.give_pod()
        assert [one.result(120) for one in asked] == [number + 1 for number in range(16) for _ in range(4)]
    assert counted(activators, WAKES, outcome="written") == before + 1
    assert sleeper.kube.service("spam")["metadata"]["generation"] == generation + 1
    assert counted(activators, "modelservice_activator_api_requests_total", code="403") == 0
    for channel in channels:
        channel.close()


def test_lost_answer_to_the_write_wakes_it_no_second_time(make_sleeper, activators, proxy):
    sleeper = make_sleeper("ham")
    lost = proxy.add(Rule(lambda request: request.path.endswith("/ham/scale"), "lose-answer", times=1))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(sleeper.ask_http, activators[1].host, 1)
        wait_until(lambda: lost.used == 1 and sleeper.replicas == 1, "it is woken, and nobody knows")
        sleeper.give_pod()
        assert asked.result(120) == 2
    assert sleeper.kube.service("ham")["metadata"]["generation"] == 2
    proxy.clear()


def test_partitioned_activator_goes_on_with_what_it_knows_and_catches_up(make_sleeper, activators, proxy):
    sleeper = make_sleeper("jam")
    proxy.add(Rule(lambda _: True, "refuse", status=503, body={"message": "partitioned"}))
    proxy.cut_watches()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(sleeper.ask_http, activators[1].host, 1)
        wait_until(lambda: activators[1].metric(WAKES, outcome="failed") > 1, "it has tried, and tries again")
        assert sleeper.replicas == 0
        assert activators[1].ports(sleeper.kube.namespace, "jam") == sleeper.ports
        proxy.clear()
        wait_until(lambda: sleeper.replicas == 1, "it is woken")
        sleeper.give_pod()
        assert asked.result(120) == 2


def test_switched_off_service_is_not_woken(make_sleeper, activators):
    sleeper = make_sleeper("lamb")
    sleeper.kube.apply_service("lamb", replicas=0, autoscaling={"minReplicas": 1, "maxReplicas": 2})
    sleeper.lead_here(ready=False)

    def refusal() -> str:
        connection = http.client.HTTPConnection(activators[0].host, sleeper.ports["http"], timeout=120)
        connection.request("GET", "/")
        answer = connection.getresponse()
        found = f"{answer.status} {answer.read().decode()}"
        connection.close()
        return found

    wait_until(lambda: "switched off" in refusal(), "it is known to be switched off")
    assert refusal().startswith("503")
    assert sleeper.replicas == 0


def is_refused(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == errno.ECONNREFUSED


@pytest.fixture
def leaving(installed, kube, tmp_path) -> Iterator[ActivatorProcess]:
    """A third replica."""
    flags = ("--leave-seconds", "6", "--grace-seconds", "40")
    made = ActivatorProcess(
        installed.kubeconfig, kube.namespace, tmp_path / "log", *flags, host="127.0.0.4"
    ).start()
    yield made
    made.kill()


def test_sigterm_finishes_what_is_held_and_takes_no_more(make_sleeper, kube, leaving):
    sleeper = make_sleeper("yam")
    leaving.wait_ready()
    leaving.wait_listening(kube.namespace, "yam")
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(sleeper.ask_http, leaving.host, 1)
        wait_until(lambda: leaving.metric(HELD) == 1, "the request is held")
        leaving.signal(signal.SIGTERM)
        wait_until(lambda: not leaving.is_ready(), "it is not ready any more")
        assert leaving.ports(kube.namespace, "yam") == "this activator ends"
        late = pool.submit(sleeper.ask_http, leaving.host, 2)  # no node has heard of its end yet
        wait_until(lambda: leaving.metric(HELD) == 2, "it is held too")
        wait_until(lambda: is_refused(leaving.host, sleeper.ports["http"]), "nobody else is let in")
        sleeper.give_pod()
        assert (asked.result(120), late.result(60)) == (2, 3)
    assert leaving.process.wait(120) == 0


def test_kept_channel_of_grpc_leaves_once_pods_lead(make_sleeper, activators):
    sleeper = make_sleeper("clam")
    sleeper.give_pod()
    host = activators[0].host
    with grpc.insecure_channel(f"{host}:{sleeper.ports['grpc']}") as channel:
        states: list[grpc.ChannelConnectivity] = []
        channel.subscribe(states.append)
        assert sleeper.ask_grpc(channel, 1) == 2
        before = activators[0].metric("modelservice_activator_connections")
        sleeper.lead_here(ready=False)
        wait_until(lambda: grpc.ChannelConnectivity.IDLE in states, "its connection was taken away")
        wait_until(
            lambda: activators[0].metric("modelservice_activator_connections") < before,
            "nothing is left of it",
        )
        assert sleeper.ask_grpc(channel, 2) == 3  # a new one


def test_killed_activator_loses_nothing_that_a_pod_has_and_the_other_goes_on(make_sleeper, activators):
    sleeper = make_sleeper("ram")
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(sleeper.ask_http, one.host, 1) for one in activators]
        wait_until(lambda: all(one.metric(HELD) == 1 for one in activators), "both hold one")
        activators[1].kill()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            asked[1].result(120)
        sleeper.give_pod()
        assert asked[0].result(120) == 2
    activators[1].start().wait_ready()
    activators[1].wait_listening(sleeper.kube.namespace, "ram")
    assert sleeper.ask_http(activators[1].host, 5) == 6
    assert counted(activators, PASSED, outcome="passed") > 0
