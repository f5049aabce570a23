"""A canary through a real gateway: weights are exact, testers find the new revision, nothing is lost."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.gateways import install_gateway_api, make_gateway, running_traefik
from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import User, adder_request, ask_adder, condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.gateways import Traefik
    from hack.load import Load

NAME = "spam"
OLD, NEW, WORSE = 1.0, 2.0, 3.0
GRPC_HOST = "grpc.example.com"
TESTER = {"X-Tester": "yes"}
REQUESTS = 1000
"""At each step; Traefik draws no lots, so as many show what 10,000 do."""
STEPS = [{"setWeight": 1}, {"pause": {}}, {"setWeight": 30}, {"pause": {}}]


@dataclass(frozen=True)
class Outside(User):
    """A user who asks through the gateway."""

    gateway: Any = None

    def address(self, name: str, port: int = 80) -> tuple[str, int]:
        return self.gateway.address()

    def ask_many(self, requests: int, **headers: str) -> Counter[float]:
        """Count the answers of so many requests, one after the other."""
        connection = http.client.HTTPConnection(*self.address(NAME), timeout=30)
        found: Counter[float] = Counter()
        for _ in range(requests):
            found[ask_adder(_WithHeaders(connection, headers), NAME, 0.0)] += 1
        connection.close()
        return found


@dataclass(frozen=True)
class _WithHeaders:
    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def request(self, method: str, path: str, body: str) -> None:
        self.connection.request(method, path, body, self.headers)

    def getresponse(self) -> http.client.HTTPResponse:
        return self.connection.getresponse()


@pytest.fixture(scope="module")
def gateway(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    install_gateway_api(user.cluster.api)
    with running_traefik(user.cluster, tmp_path_factory.mktemp("traefik")) as traefik:
        user.cluster.api.apply(make_gateway(user.namespace))
        yield traefik


@pytest.fixture(scope="module")
def outside(user: User, gateway: Traefik) -> Outside:
    route = {
        "parentRefs": [{"name": "web"}],
        "hostnames": ["localhost"],
        "grpcHostnames": [GRPC_HOST],
        "testers": {"header": "X-Tester", "value": "yes"},
    }
    rollout = {"strategy": "Canary", "canary": {"steps": STEPS}}
    # Pods have to answer until Traefik has heard that they go.
    user.apply(
        NAME,
        model=user.push_adder(OLD),
        replicas=2,
        rollout=rollout,
        route=route,
        terminationGracePeriodSeconds=20,
    )
    user.wait_ready(NAME)
    user.wait(NAME, lambda one: condition(one, "RouteReady").get("status") == "True", "the route")
    outside = Outside(user.cluster, user.namespace, gateway)
    # A gateway says that it accepts a route before it goes by it.
    wait_until(lambda: is_led(outside), "the gateway leads to it", 30)
    return outside


def is_led(outside: Outside) -> bool:
    """Whether requests of both protocols come through the gateway."""
    with adder_load(outside, NAME, keeping=1, reconnecting=0, grpc_clients=True, grpc_host=GRPC_HOST) as load:
        wait_until(lambda: load.count() + len(load.failures) > 20, "the gateway answers")
    return not load.failures


@pytest.fixture
def load(outside: Outside) -> Iterator[Load]:
    """Clients of REST and gRPC all the time; none of their requests may be lost."""
    with adder_load(outside, NAME, keeping=1, reconnecting=1, grpc_clients=True, grpc_host=GRPC_HOST) as load:
        wait_until(lambda: load.count() > 20, "clients are answered")
        yield load
        end = load.count()
        wait_until(lambda: load.count() > end + 20, "clients are answered in the end")
    assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"


def wait_paused(outside: Outside, step: int) -> None:
    def is_paused(one: Any) -> bool:
        rollout = one["status"].get("rollout", {})
        return rollout.get("phase") == "Paused" and rollout.get("step") == step

    outside.wait(NAME, is_paused, f"paused at step {step}")


def resume(outside: Outside, verb: str = "resume") -> None:
    target = outside.service(NAME)["status"]["targetRevision"]
    wish = {"modelservice.dev/rollout-action": f"{verb}@{target}"}
    outside.cluster.api.patch(outside.path("modelservices", NAME), {"metadata": {"annotations": wish}})


def assert_share(outside: Outside, load: Load, new: float, percent: int) -> None:
    """All requests together have the share: each client sees the part of the gateway's turns that it hits."""
    before = Counter(load.answers)
    found = outside.ask_many(REQUESTS) + (Counter(load.answers) - before)
    assert abs(100 * found[new] / found.total() - percent) < 1, found


def test_every_weight_is_exact_and_nothing_is_lost_on_the_way(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"model": outside.push_adder(NEW)})
    wait_paused(outside, 1)
    assert_share(outside, load, NEW, 1)
    assert outside.ask_many(10, **TESTER) == {NEW: 10}

    resume(outside)
    wait_paused(outside, 3)
    assert_share(outside, load, NEW, 30)

    resume(outside, "promote")
    outside.wait_ready(NAME)
    assert outside.ask_many(50) == outside.ask_many(50, **TESTER) == {NEW: 50}


def test_abort_takes_the_weight_back_and_nothing_is_lost(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"model": outside.push_adder(WORSE)})
    wait_paused(outside, 1)
    resume(outside)
    wait_paused(outside, 3)
    resume(outside, "abort")
    outside.wait(NAME, lambda one: one["status"]["rollout"]["phase"] == "Aborted", "aborted")
    revision = outside.service(NAME)["status"]["targetRevision"]
    deployment = outside.path("deployments", f"{NAME}-{revision}")
    wait_until(
        lambda: (outside.cluster.api.find(deployment) or {"spec": {"replicas": 0}})["spec"]["replicas"] == 0,
        "the new revision has no pods",
        120,
    )
    assert outside.ask_many(50) == {NEW: 50}


def test_scaling_down_loses_nothing(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"replicas": 1, "model": outside.push_adder(NEW)})
    outside.wait_ready(NAME)
    wait_until(lambda: len(outside.items("pods", name=NAME)) == 1, "one pod is left", 120)


def test_what_the_gateway_cannot_do_is_refused_and_requests_go_on(outside: Outside) -> None:
    outside.edit(NAME, {"route": {"timeoutSeconds": 5}})
    refused = outside.wait(
        NAME, lambda one: condition(one, "RouteReady").get("reason") == "Unsupported", "refused", 30
    )
    assert "timeoutSeconds" in condition(refused, "RouteReady")["message"]
    assert condition(refused, "Ready")["status"] == "True"
    assert outside.ask_many(5) == {NEW: 5}


def test_requests_through_the_gateway_wake_a_service_that_sleeps(outside: Outside) -> None:
    concurrency = {"type": "Concurrency", "target": {"averageValue": "8"}}
    scaling = {"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 3600, "metrics": [concurrency]}
    outside.edit(NAME, {"autoscaling": scaling, "route": {"timeoutSeconds": None}})
    outside.wait_ready(NAME)
    scale = outside.path("modelservices", NAME) + "/scale"
    outside.cluster.api.patch(scale, {"spec": {"replicas": 0}})
    asleep = outside.wait(
        NAME, lambda one: condition(one, "Ready").get("reason") == "ScaledToZero", "asleep", 60
    )
    wait_until(lambda: not outside.items("pods", name=NAME), "no pod is left", 120)

    def ask(value: int) -> float:
        connection = http.client.HTTPConnection(*outside.address(NAME), timeout=120)
        answer = ask_adder(connection, NAME, float(value))
        connection.close()
        return answer - value

    with ThreadPoolExecutor(50) as clients:
        assert set(clients.map(ask, range(50))) == {NEW}
    woken = outside.wait_ready(NAME)
    assert woken["metadata"]["generation"] == asleep["metadata"]["generation"] + 1
    outside.edit(NAME, {"autoscaling": None})
    outside.wait_ready(NAME)


def test_path_of_its_own_is_removed_from_requests(outside: Outside) -> None:
    outside.edit(NAME, {"route": {"path": "/team/spam", "timeoutSeconds": None}})
    outside.wait(NAME, lambda one: condition(one, "RouteReady").get("status") == "True", "the route", 30)

    def is_answered(path: str) -> bool:
        connection = http.client.HTTPConnection(*outside.address(NAME), timeout=30)
        connection.request("POST", f"{path}/v2/models/{NAME}/infer", json.dumps(adder_request(0.0)))
        status = connection.getresponse().status
        connection.close()
        return status == http.client.OK

    wait_until(lambda: is_answered("/team/spam"), "the path leads to it", 30)
    wait_until(lambda: not is_answered(""), "and no other one", 30)
