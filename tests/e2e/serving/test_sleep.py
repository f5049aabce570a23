"""A service sleeps and wakes on real nodes: every request is answered once, whoever is killed meanwhile."""

from __future__ import annotations

import http.client
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hack.load import FAILURES, grpc_client, rest_client
from tests.support.installation import NAMESPACE, Installation
from tests.support.load import GRPC_PORT, adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import READY_TIMEOUT_SECONDS, User, adder_request, condition
from tritonclient.grpc import service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from hack.load import Connect

NAME = "dozer"
AUTOSCALING = {"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 3600}
ACTIVATORS = (
    f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dmodelservice-activator"
)


@dataclass(frozen=True)
class Dozer:
    """The service, and who asks it."""

    user: User

    def scale(self, replicas: int) -> None:
        """Write `/scale`, as an engine does."""
        path = self.user.path("modelservices", NAME) + "/scale"
        self.user.cluster.api.patch(path, {"spec": {"replicas": replicas}})

    def sleep(self) -> None:
        """Send it to sleep, and wait until no pod is left."""
        self.scale(0)
        self.user.wait(NAME, lambda one: condition(one, "Ready").get("reason") == "ScaledToZero", "asleep")
        wait_until(lambda: not self.user.items("pods", name=NAME), "no pod is left")

    def wait_awake(self) -> None:
        """Wait until its pods lead again."""
        self.user.wait(
            NAME,
            lambda one: (
                condition(one, "Ready").get("reason") == "Ready"
                and not {"wokenAt", "standbySince"} & one["status"]["autoscaling"].keys()
            ),
            "awake",
        )

    def rest(self) -> Connect:
        """A client of REST."""
        return partial(
            rest_client,
            self.user.address(NAME),
            f"/v2/models/{NAME}/infer",
            adder_request(1),
            lambda answer: answer["outputs"][0]["data"][0],
        )

    def grpc(self) -> Connect:
        """A client of gRPC."""
        tensor = service_pb2.ModelInferRequest.InferInputTensor(name="values", datatype="FP32", shape=[1])
        request = service_pb2.ModelInferRequest(
            model_name=NAME, inputs=[tensor], raw_input_contents=[struct.pack("<f", 1)]
        )
        address = self.user.address(NAME, GRPC_PORT)
        return partial(
            grpc_client,
            address,
            request,
            lambda answer: struct.unpack("<f", answer.raw_output_contents[0])[0],
        )

    def generation(self) -> int:
        """Rises with every write to the spec or `/scale`."""
        return int(self.user.service(NAME)["metadata"]["generation"])

    def answered_by_pods(self) -> float:
        """Requests that the pods of this service have answered, by their own count."""
        return sum(
            read_metric(self.user, pod["status"]["podIP"], "nv_inference_request_success")
            for pod in self.user.pods(NAME).values()
        )


def read_metric(user: User, address: str, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", user.cluster.forward(address, 8082), timeout=120)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))


@dataclass(frozen=True)
class Asked:
    """What came of requests that were sent at once."""

    answers: list[object]
    failures: list[Exception]


def ask_at_once(clients: list[tuple[Connect, int]], meanwhile: Callable[[], None] = lambda: None) -> Asked:
    """Let all clients begin in the same moment; each sends so many requests on its connection."""
    begin = threading.Barrier(len(clients) + 1)
    answers: list[object] = []
    failures: list[Exception] = []

    def run(connect: Connect, count: int) -> None:
        with connect() as ask:
            begin.wait()
            for _ in range(count):
                try:
                    answers.append(ask())
                except FAILURES as error:
                    failures.append(error)

    with ThreadPoolExecutor(len(clients)) as pool:
        futures = [pool.submit(run, connect, count) for connect, count in clients]
        begin.wait()
        meanwhile()
        for future in futures:
            future.result(READY_TIMEOUT_SECONDS)
    return Asked(answers, failures)


@pytest.fixture(scope="module")
def dozer(user: User) -> Dozer:
    """A service that may sleep and is awake."""
    user.apply(NAME, model=user.push_adder(1), autoscaling=AUTOSCALING)
    user.wait_ready(NAME)
    return Dozer(user)


def test_200_requests_at_once_wake_a_sleeping_service_once_and_each_is_answered_once(dozer: Dozer) -> None:
    dozer.sleep()
    before = dozer.generation()
    clients = [(dozer.rest(), 1)] * 110 + [(dozer.rest(), 2)] * 20 + [(dozer.grpc(), 1)] * 30
    clients += [(dozer.grpc(), 2)] * 10
    asked = ask_at_once(clients)
    assert not asked.failures, f"{len(asked.failures)} failed: {asked.failures[:3]}"
    assert asked.answers == [2.0] * 200
    dozer.wait_awake()
    assert dozer.generation() == before + 1, "woken more than once"
    # A pod counts a request when it has been answered, which is a moment later.
    wait_until(lambda: dozer.answered_by_pods() >= 200, "the pods have counted them")
    assert dozer.answered_by_pods() == 200
    told = dozer.user.service(NAME)["status"]["autoscaling"]["coldStart"]
    phases = {"totalSeconds", "scheduleSeconds", "pullSeconds", "fetchSeconds"}
    assert phases <= told.keys()
    assert 0 < float(told["totalSeconds"]) < READY_TIMEOUT_SECONDS
    wait_until(
        lambda: (
            {"loadSeconds", "warmSeconds"}
            <= dozer.user.service(NAME)["status"]["autoscaling"]["coldStart"].keys()
        ),
        "the pod has said how long it loaded and warmed up",
    )


def test_service_that_falls_asleep_under_load_fails_no_request(dozer: Dozer) -> None:
    dozer.wait_awake()
    with adder_load(dozer.user, NAME, keeping=2, reconnecting=2, grpc_clients=True) as load:
        for _ in range(2):
            before, asked = dozer.user.pods(NAME).keys(), load.count()
            dozer.scale(0)
            # The last pod goes while clients ask; the next one of them wakes the service.
            dozer.user.wait(NAME, lambda one: "wokenAt" in one["status"].get("autoscaling", {}), "woken")
            dozer.wait_awake()
            assert before.isdisjoint(dozer.user.pods(NAME)), "the last pod has not gone"
            wait_until(lambda since=asked: load.count() > since + 20, "clients are answered")
    assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"


def test_killed_activator_and_operator_lose_no_request_that_the_others_hold(
    dozer: Dozer, installation: Installation
) -> None:
    dozer.wait_awake()
    dozer.sleep()
    api, kubectl = dozer.user.cluster.api, dozer.user.kubectl

    def kill() -> None:
        wait_until(lambda: dozer.user.service(NAME)["spec"]["replicas"] == 1, "woken")
        victims = (api.get(ACTIVATORS)["items"][0]["metadata"]["name"], installation.leader())
        kubectl.run("delete", "pod", *victims, "--namespace", NAMESPACE, "--grace-period=0", "--force")

    asked = ask_at_once([(dozer.rest(), 1)] * 40 + [(dozer.grpc(), 1)] * 10, kill)
    held_by_the_other = len(asked.answers)
    assert held_by_the_other + len(asked.failures) == 50
    assert held_by_the_other > 0
    assert set(asked.answers) == {2.0}
    said = [str(error) for error in asked.failures]
    assert not [one for one in said if "503" in one or "504" in one], said
    dozer.wait_awake()
    wait_until(lambda: dozer.answered_by_pods() >= held_by_the_other, "the pods have counted them")
    assert dozer.answered_by_pods() == held_by_the_other
    installation.wait_rolled_out()
