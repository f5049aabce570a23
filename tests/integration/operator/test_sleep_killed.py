"""A service falls asleep and wakes the same way, whatever write of it the operator is killed at.

The activator is played: slices of its Service made by hand, and an answer to who asks whether it listens.
By default a few writes are tried, MODELSERVICE_TEST_EVERY_WRITE=1 tries all of them.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import Kube, OperatorFactory, Shared, open_proxy
from tests.support.fault_proxy import Rule
from tests.support.operator_process import wait_until
from tests.support.watching import EndpointWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

NAME = "dozer"
AUTOSCALING = {"minReplicas": 0, "maxReplicas": 3, "provider": "HPA"}
WRITES_TRIED = 2


def own_address() -> str:
    """An address of this machine that an EndpointSlice may hold: not one of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but that of loopback")
        return str(probe.getsockname()[0])


class PlayedActivator:
    """Listens on whatever the slices say, and answers so; its own Service's slice is made by hand."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._address = own_address()
        played = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                slices = played.slices(self.path.rsplit("/", 1)[1])
                ports = {one["name"]: one["port"] for found in slices for one in found["ports"]}
                body = json.dumps({"ports": ports}).encode()
                self.send_response(200 if slices else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer((self._address, 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def slices(self, name: str) -> list[dict[str, Any]]:
        """The slices that lead clients of a service to the activator."""
        selector = "endpointslice.kubernetes.io%2Fmanaged-by%3Dactivator.modelservice.dev"
        found = self._kube.api.get(self._kube.path("endpointslices") + f"?labelSelector={selector}")
        return [one for one in found["items"] if one["metadata"]["name"] == f"{name}-activator"]

    def appear(self, *, ready: bool = True) -> None:
        """Be an endpoint of the activator's Service, ready or not."""
        pod = {"kind": "Pod", "name": "activator-1", "namespace": self._kube.namespace, "uid": "uid-1"}
        self._kube.api.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "activator-by-hand",
                    "namespace": self._kube.namespace,
                    "labels": {"kubernetes.io/service-name": "activator"},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": [self._address], "conditions": {"ready": ready}, "targetRef": pod}
                ],
                "ports": [{"name": "metrics", "port": self._server.server_port}],
            }
        )

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Dozing:
    """A service that is sent to sleep and woken again and again, watched."""

    shared: Shared
    activator: PlayedActivator
    endpoints: EndpointWatch

    @property
    def kube(self) -> Kube:
        return self.shared.kube

    def scale(self, replicas: int) -> None:
        """Write `/scale`, as engines and the activator do."""
        path = self.kube.path("modelservices", NAME) + "/scale"
        self.kube.api.patch(path, {"spec": {"replicas": replicas}})

    def is_led_by_activator(self) -> bool:
        """Whether its slice makes the activator ready."""
        slices = self.activator.slices(NAME)
        return any(one["conditions"]["ready"] for found in slices for one in found["endpoints"] or ())

    def pods_wanted(self) -> int:
        return sum(one["spec"]["replicas"] for one in self.kube.items("deployments"))

    def is_asleep(self) -> bool:
        """Whether no pod is wanted, and the status says so."""
        return self.kube.is_ready(NAME) and self.kube.condition("Ready", NAME)["reason"] == "ScaledToZero"

    def is_awake(self) -> bool:
        """Whether its pods lead alone, and the status says so."""
        return (
            self.kube.is_ready(NAME)
            and self.kube.condition("Ready", NAME)["reason"] == "Ready"
            and not self.is_led_by_activator()
        )

    def settle(self, replicas: int) -> dict[str, Any]:
        """Write `/scale` unless it says so already, and wait for the end of what follows; return it."""
        if self.kube.service(NAME)["spec"]["replicas"] != replicas:
            self.scale(replicas)
        wait_until(self.is_awake if replicas else self.is_asleep, f"{replicas} pods", 120)
        return self._end(replicas)

    def kill_at_write(self, number: int, replicas: int) -> None:
        """Write `/scale`, kill the operator at its nth write since then, and start it again."""
        proxy, operator = self.shared.proxy, self.shared.operator
        proxy.forget()
        proxy.add(
            Rule(
                lambda request: request.number == number,
                "lose-answer",
                times=1,
                callback=operator.kill_now,
            )
        )
        self.scale(replicas)
        is_done = self.is_awake if replicas else self.is_asleep
        wait_until(lambda: not operator.is_running() or is_done(), "killed, or done with fewer writes", 120)
        proxy.clear()
        if not operator.is_running():
            operator.start().wait_ready()

    def _end(self, pods: int) -> dict[str, Any]:
        self.shared.operator.wait_leading().wait_at_rest(1.0)
        assert self.pods_wanted() == pods
        (found,) = self.activator.slices(NAME)
        scaling = self.kube.service(NAME)["status"].get("autoscaling", {})
        return {
            "ports": {one["name"]: one["port"] for one in found["ports"]},
            "ready": [one["conditions"]["ready"] for one in found["endpoints"]],
            "status": sorted(scaling.keys() - {"coldStart"}),
            "coldStart": pods == 0 or sorted(scaling.get("coldStart", ())),
        }


@pytest.fixture(scope="module")
def dozing(installed: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dozing]:
    """An operator that knows of an activator, and a service that may sleep and serves."""
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(open_proxy(installed))
        namespace = stack.enter_context(testing.fresh_namespace(installed.api))
        kube = Kube(installed.api, namespace)
        activator = PlayedActivator(kube)
        stack.callback(activator.close)
        activator.appear()
        factory = OperatorFactory(installed, namespace, tmp_path_factory.mktemp("operator"))
        stack.callback(factory.kill_all)
        operator = factory(f"--activator-service={namespace}/activator", proxy=proxy).start().wait_leading()
        endpoints = stack.enter_context(EndpointWatch(installed.api, namespace))
        found = Dozing(Shared(kube, proxy, operator), activator, endpoints)
        kube.apply_service(NAME, autoscaling=AUTOSCALING)
        kube.wait_ready(NAME)
        yield found


def choose(writes: int) -> list[int]:
    """A few in the midst of them; all where that is asked for."""
    if os.environ.get("MODELSERVICE_TEST_EVERY_WRITE"):
        return list(range(1, writes + 1))
    parts = WRITES_TRIED + 1
    return sorted({1 + round(step * (writes - 1) / parts) for step in range(1, parts)})


def test_operator_killed_at_any_write_of_sleep_and_waking_ends_the_same(dozing: Dozing) -> None:
    shared = dozing.shared
    dozing.settle(1)
    begun = dozing.endpoints.now(NAME)
    for replicas in (0, 1):
        dozing.settle(1 - replicas)
        shared.proxy.forget()
        expected, writes = dozing.settle(replicas), len(shared.proxy.writes())
        for number in choose(writes):
            dozing.settle(1 - replicas)
            dozing.kill_at_write(number, replicas)
            assert dozing.settle(replicas) == expected, (
                f"killed after write {number} of {writes}, to {replicas}"
            )
            fewest = dozing.endpoints.fewest(NAME, begun)
            assert fewest >= 1, f"nobody led clients after write {number} of {writes}, to {replicas}"
    shared.operator.wait_at_rest(3.0)
    shared.proxy.forget()
    shared.operator.wait_at_rest(3.0)
    assert shared.proxy.writes() == []


def test_last_pod_stays_until_an_activator_is_ready(dozing: Dozing) -> None:
    dozing.settle(1)
    dozing.activator.appear(ready=False)
    dozing.scale(0)
    wait_until(
        lambda: (
            "no activator is ready" in dozing.kube.condition("AutoscalingActive", NAME).get("message", "")
        ),
        "the condition says why it does not sleep",
    )
    assert dozing.pods_wanted() == 1
    dozing.activator.appear()
    dozing.settle(0)


def test_sleeping_service_that_is_deleted_leaves_nothing(dozing: Dozing) -> None:
    dozing.kube.apply_service("gone", autoscaling=AUTOSCALING, replicas=0)
    dozing.kube.wait_reason("ScaledToZero", "gone")
    ports = {
        one["port"]
        for name in (NAME, "gone")
        for found in dozing.activator.slices(name)
        for one in found["ports"]
    }
    assert len(ports) == 4
    dozing.kube.api.delete(dozing.kube.path("modelservices", "gone"))
    wait_until(lambda: not dozing.activator.slices("gone"), "its slice is gone")
