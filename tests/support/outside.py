"""A user outside of the cluster, who asks a canary through a gateway."""

from __future__ import annotations

import contextlib
import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.load import adder_load
from tests.support.operator_process import wait_until
from tests.support.serving import User, ask_adder, condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.load import Load

NAME = "spam"
GRPC_HOST = "grpc.example.com"
TESTER = {"X-Tester": "yes"}
ROUTE = {
    "parentRefs": [{"name": "web"}],
    "hostnames": ["localhost"],
    "grpcHostnames": [GRPC_HOST],
    "testers": {"header": "X-Tester", "value": "yes"},
}


@dataclass(frozen=True)
class Outside(User):
    """A user who asks through the gateway."""

    gateway: Any = None

    def address(self, name: str, port: int = 80) -> tuple[str, int]:
        return self.gateway.address()

    def ask_many(self, requests: int, **headers: str) -> Counter[float]:
        """Count the answers of so many requests, one after the other."""
        connection = http.client.HTTPConnection(*self.address(NAME), timeout=120)
        found: Counter[float] = Counter()
        for _ in range(requests):
            found[ask_adder(_WithHeaders(connection, headers), NAME, 0.0)] += 1
        connection.close()
        return found

    def wait_paused(self, step: int) -> None:
        """Wait until the canary pauses there."""

        def is_paused(one: Any) -> bool:
            rollout = one["status"].get("rollout", {})
            return rollout.get("phase") == "Paused" and rollout.get("step") == step

        self.wait(NAME, is_paused, f"paused at step {step}")

    def steer(self, verb: str) -> None:
        """Resume, promote or abort the change to what is the target now."""
        target = self.service(NAME)["status"]["targetRevision"]
        wish = {"modelservice.dev/rollout-action": f"{verb}@{target}"}
        self.cluster.api.patch(self.path("modelservices", NAME), {"metadata": {"annotations": wish}})

    def wait_aborted(self) -> None:
        """Wait until the change is given up and its revision has no pods."""
        self.wait(NAME, lambda one: one["status"]["rollout"]["phase"] == "Aborted", "aborted")
        deployment = self.path("deployments", f"{NAME}-{self.service(NAME)['status']['targetRevision']}")
        wait_until(
            lambda: (self.cluster.api.find(deployment) or {"spec": {"replicas": 0}})["spec"]["replicas"] == 0,
            "the new revision has no pods",
            120,
        )

    def put_to_sleep(self, **route: Any) -> Any:
        """Let the service sleep; return it as it is then. `route` is merged into its route."""
        concurrency = {"type": "Concurrency", "target": {"averageValue": "8"}}
        scaling = {"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 3600, "metrics": [concurrency]}
        self.edit(NAME, {"autoscaling": scaling, "route": route})
        self.wait_ready(NAME)
        scale = self.path("modelservices", NAME) + "/scale"
        self.cluster.api.patch(scale, {"spec": {"replicas": 0}})
        asleep = self.wait(
            NAME, lambda one: condition(one, "Ready").get("reason") == "ScaledToZero", "asleep"
        )
        wait_until(lambda: not self.items("pods", name=NAME), "no pod is left", 120)
        return asleep

    def ask_at_once(self, requests: int) -> set[float]:
        """Send so many requests at the same time, each with a number of its own; return what was added."""

        def ask(value: int) -> float:
            connection = http.client.HTTPConnection(*self.address(NAME), timeout=120)
            answer = ask_adder(connection, NAME, float(value))
            connection.close()
            return answer - value

        with ThreadPoolExecutor(requests) as clients:
            return set(clients.map(ask, range(requests)))

    def wait_led(self) -> None:
        """Wait until the gateway goes by the route: it says that it accepts one before."""
        self.wait(NAME, _is_accepted, "the gateway takes both routes")
        wait_until(lambda: _is_led(self), "the gateway leads to it")


@dataclass(frozen=True)
class _WithHeaders:
    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def request(self, method: str, path: str, body: str) -> None:
        self.connection.request(method, path, body, self.headers)

    def getresponse(self) -> http.client.HTTPResponse:
        return self.connection.getresponse()


def _is_accepted(service: Any) -> bool:
    said = service["status"].get("route", {}).get("parents", [])
    return len(said) == 2 and all(one.get("accepted") and one.get("resolvedRefs") for one in said)


def _is_led(outside: Outside) -> bool:
    """Whether requests of both protocols come through the gateway."""
    with adder_load(outside, NAME, keeping=1, reconnecting=0, grpc_clients=True, grpc_host=GRPC_HOST) as load:
        wait_until(lambda: load.count() + len(load.failures) > 20, "the gateway answers")
    return not load.failures


@contextlib.contextmanager
def load_without_loss(outside: Outside) -> Iterator[Load]:
    """Clients of REST and gRPC all the time; none of their requests may be lost."""
    with adder_load(outside, NAME, keeping=1, reconnecting=1, grpc_clients=True, grpc_host=GRPC_HOST) as load:
        wait_until(lambda: load.count() > 20, "clients are answered")
        yield load
        end = load.count()
        wait_until(lambda: load.count() > end + 20, "clients are answered in the end")
    assert not load.failures, f"{len(load.failures)} of {load.count()}: {load.failures[:3]}"
