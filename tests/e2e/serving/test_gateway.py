"""A canary through a real gateway: weights are exact, testers find the new revision, nothing is lost."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hack.cluster.gateways import install_gateway_api, make_gateway, running_traefik
from tests.support.operator_process import wait_until
from tests.support.outside import NAME, ROUTE, TESTER, Outside, load_without_loss
from tests.support.serving import adder_request, condition
from tests.unit.runtime.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.gateways import Traefik
    from hack.load import Load
    from tests.support.serving import User

OLD, NEW, WORSE = 1.0, 2.0, 3.0
REQUESTS = 1000
"""At each step; Traefik draws no lots, so as many show what 10,000 do."""
STEPS = [{"setWeight": 1}, {"pause": {}}, {"setWeight": 30}, {"pause": {}}]


@pytest.fixture(scope="module")
def gateway(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    install_gateway_api(user.cluster.api)
    with running_traefik(user.cluster, tmp_path_factory.mktemp("traefik")) as traefik:
        user.cluster.api.apply(make_gateway(user.namespace))
        yield traefik


@pytest.fixture(scope="module")
def outside(user: User, gateway: Traefik) -> Outside:
    rollout = {"strategy": "Canary", "canary": {"steps": STEPS}}
    # Pods have to answer until Traefik has heard that they go.
    user.apply(
        NAME,
        model=user.push_adder(OLD),
        replicas=2,
        rollout=rollout,
        route=ROUTE,
        terminationGracePeriodSeconds=20,
    )
    user.wait_ready(NAME)
    outside = Outside(user.cluster, user.namespace, gateway)
    outside.wait_led()
    return outside


@pytest.fixture
def load(outside: Outside) -> Iterator[Load]:
    with load_without_loss(outside) as load:
        yield load


def assert_share(outside: Outside, load: Load, new: float, percent: int) -> None:
    """All requests together have the share: each client sees the part of the gateway's turns that it hits."""
    # Traefik goes by the new weights a moment after it is told.
    wait_until(
        lambda: 100 * outside.ask_many(100)[new] > 50 * percent, f"some {percent} % are answered by it"
    )
    before = Counter(load.answers)
    found = outside.ask_many(REQUESTS) + (Counter(load.answers) - before)
    assert abs(100 * found[new] / found.total() - percent) < 1, found


def test_every_weight_is_exact_and_nothing_is_lost_on_the_way(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"model": outside.push_adder(NEW)})
    outside.wait_paused(1)
    assert_share(outside, load, NEW, 1)
    wait_until(lambda: outside.ask_many(10, **TESTER) == {NEW: 10}, "testers get the new one")

    outside.steer("resume")
    outside.wait_paused(3)
    assert_share(outside, load, NEW, 30)

    outside.steer("promote")
    outside.wait_ready(NAME)
    for headers in ({}, TESTER):
        wait_until(
            lambda sent=headers: outside.ask_many(50, **sent) == {NEW: 50}, f"all with {headers} get it"
        )


def test_abort_takes_the_weight_back_and_nothing_is_lost(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"model": outside.push_adder(WORSE)})
    outside.wait_paused(1)
    outside.steer("resume")
    outside.wait_paused(3)
    outside.steer("abort")
    outside.wait_aborted()
    wait_until(lambda: outside.ask_many(50) == {NEW: 50}, "nobody gets the worse one any more")


def test_scaling_down_loses_nothing(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"replicas": 1, "model": outside.push_adder(NEW)})
    outside.wait_ready(NAME)
    wait_until(lambda: len(outside.items("pods", name=NAME)) == 1, "one pod is left")


def test_what_the_gateway_cannot_do_is_refused_and_requests_go_on(outside: Outside) -> None:
    outside.edit(NAME, {"route": {"timeoutSeconds": 5}})
    refused = outside.wait(
        NAME, lambda one: condition(one, "RouteReady").get("reason") == "Unsupported", "refused"
    )
    assert "timeoutSeconds" in condition(refused, "RouteReady")["message"]
    assert condition(refused, "Ready")["status"] == "True"
    assert outside.ask_many(5) == {NEW: 5}


def test_requests_through_the_gateway_wake_a_service_that_sleeps(outside: Outside) -> None:
    asleep = outside.put_to_sleep(timeoutSeconds=None)
    assert outside.ask_at_once(50) == {NEW}
    woken = outside.wait_ready(NAME)
    assert woken["metadata"]["generation"] == asleep["metadata"]["generation"] + 1
    outside.edit(NAME, {"autoscaling": None})
    outside.wait_ready(NAME)


def test_path_of_its_own_is_removed_from_requests(outside: Outside) -> None:
    outside.edit(NAME, {"route": {"path": "/team/spam", "timeoutSeconds": None}})
    outside.wait(NAME, lambda one: condition(one, "RouteReady").get("status") == "True", "the route")

    def is_answered(path: str) -> bool:
        connection = http.client.HTTPConnection(*outside.address(NAME), timeout=120)
        connection.request("POST", f"{path}/v2/models/{NAME}/infer", json.dumps(adder_request(0.0)))
        status = connection.getresponse().status
        connection.close()
        return status == http.client.OK

    wait_until(lambda: is_answered("/team/spam"), "the path leads to it")
    wait_until(lambda: not is_answered(""), "and no other one")


def test_route_of_ones_own_leads_to_a_service_that_speaks_tls(outside: Outside) -> None:
    make_certificate(outside, "closed")
    outside.apply("closed", model=outside.push_adder(OLD), tls={"secretName": "closed"})
    for file in yaml.safe_load_all(own_route("closed", outside.namespace)):
        outside.cluster.api.apply({**file, "metadata": {**file["metadata"], "namespace": outside.namespace}})
    outside.wait_ready("closed")

    def is_answered() -> bool:
        connection = http.client.HTTPConnection(*outside.address("closed"), timeout=120)
        headers = {"Host": "closed.example.com"}
        connection.request("POST", "/v2/models/closed/infer", json.dumps(adder_request(0.0)), headers)
        status = connection.getresponse().status
        connection.close()
        return status == http.client.OK

    wait_until(is_answered, "the gateway speaks TLS to the pod")


def make_certificate(outside: Outside, name: str) -> None:
    """The Secret of a service, and the ConfigMap by which gateways know who signed."""
    authority = Authority()
    pair = authority.issue(name, f"{name}.{outside.namespace}.svc")
    files = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    secret = {"metadata": {"name": name}, "type": "kubernetes.io/tls", "stringData": files}
    outside.cluster.api.create(outside.path("secrets"), secret)
    trusted = {"metadata": {"name": f"{name}-ca"}, "data": {"ca.crt": authority.certificate.decode()}}
    outside.cluster.api.create(outside.path("configmaps"), trusted)


def own_route(name: str, namespace: str) -> str:
    """The manifests that the documentation tells, for another service."""
    page = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")
    (manifests,) = re.findall(r"```yaml\n(apiVersion.*?BackendTLSPolicy.*?)```", page, re.DOTALL)
    known = {"spam.team.svc": f"{name}.{namespace}.svc", "name: public": "name: web", "spam": name}
    for old, new in known.items():
        manifests = manifests.replace(old, new)
    return str(manifests)
