"""A canary behind Envoy Gateway: shares, copies of requests, timeouts, and nothing that is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.gateways import install_gateway_api, make_gateway
from tests.extras.envoy_gateway import CLASS, running_envoy_gateway
from tests.support.operator_process import wait_until
from tests.support.outside import NAME, ROUTE, TESTER, Outside, load_without_loss
from tests.support.serving import adder_request, condition

from modelservice_operator.facts.ports import METRICS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from hack.load import Load
    from tests.extras.envoy_gateway import EnvoyGateway
    from tests.support.serving import User

OLD, NEW, WORSE = 1.0, 2.0, 3.0
COPIED, WEIGHT = 40, 30
STEPS = [{"setWeight": 0}, {"pause": {}}, {"setWeight": WEIGHT}, {"pause": {}}]
REQUESTS = 2000
DEVIATIONS = 5
"""Envoy draws lots: one run of two million is further away than so many standard deviations."""
TIMEOUT_SECONDS = 2


@pytest.fixture(scope="module")
def gateway(user: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnvoyGateway]:
    api = user.cluster.api
    install_gateway_api(api)
    folder = tmp_path_factory.mktemp("envoy")
    with running_envoy_gateway(user.cluster, folder, user.namespace) as envoy:
        api.apply(make_gateway(user.namespace, class_name=CLASS))
        yield envoy


@pytest.fixture(scope="module")
def outside(user: User, gateway: EnvoyGateway) -> Outside:
    user.apply(
        NAME,
        model=user.push_adder(OLD),
        replicas=2,
        rollout={"strategy": "Canary", "canary": {"steps": STEPS}},
        route={**ROUTE, "mirrorPercent": COPIED, "timeoutSeconds": TIMEOUT_SECONDS},
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


def target_pods(outside: Outside) -> list[dict[str, Any]]:
    return outside.items("pods", name=NAME, revision=outside.service(NAME)["status"]["targetRevision"])


def count_requests(outside: Outside) -> int:
    """How many requests the new revision's only pod has had."""
    (pod,) = target_pods(outside)
    port = outside.cluster.forward(pod["status"]["podIP"], METRICS)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/load", timeout=120) as answer:
        return int(json.load(answer)["requests"])


def wait_shown(outside: Outside) -> None:
    """Wait until the gateway copies requests: some time after it was told to."""
    before = count_requests(outside)

    def is_copied() -> bool:
        outside.ask_many(20)
        return count_requests(outside) > before

    wait_until(is_copied, "requests are copied")


def settled_requests(outside: Outside) -> int:
    """The requests of the new revision, once no copy is under way."""
    found = count_requests(outside)
    while True:
        time.sleep(1)
        found, before = count_requests(outside), found
        if found == before:
            return found


def is_fair(hits: int, draws: int, percent: int) -> bool:
    """Whether so many hits of so many draws may be chance."""
    share = percent / 100
    return abs(hits - draws * share) < DEVIATIONS * math.sqrt(draws * share * (1 - share))


@contextlib.contextmanager
def frozen(outside: Outside, pods: list[dict[str, Any]]) -> Iterator[None]:
    """The processes of these pods do nothing: who asks them waits."""
    # The kubelet's file that is their /etc/hosts tells whose they are.
    hosts = {f"pods/{pod['metadata']['uid']}/etc-hosts /etc/hosts " for pod in pods}
    processes = []
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if any(one in file.read_text(encoding="utf-8") for one in hosts):
                processes.append(int(file.parent.name))
    assert processes
    _signal_all(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(processes, signal.SIGCONT)


def _signal_all(processes: list[int], number: signal.Signals) -> None:
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, number)


def test_route_is_taken_though_the_class_lists_no_feature(outside: Outside) -> None:
    path = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/"
    assert not outside.cluster.api.get(path + CLASS)["status"].get("supportedFeatures")
    # An Envoy that nothing stands in front of has no address that the Gateway could name.
    said = condition(outside.service(NAME), "RouteReady")
    assert said["reason"] == "AddressNotAssigned"
    assert "reach the gateway another way" in said["message"]


def test_so_many_requests_are_copied_and_no_answer_of_a_copy_is_heard(outside: Outside) -> None:
    outside.edit(NAME, {"model": outside.push_adder(NEW)})
    outside.wait_paused(1)
    wait_shown(outside)
    before = settled_requests(outside)
    assert outside.ask_many(REQUESTS) == {OLD: REQUESTS}
    copies = settled_requests(outside) - before
    assert is_fair(copies, REQUESTS, COPIED), copies
    assert outside.ask_many(10, **TESTER) == {NEW: 10}


def test_copies_that_nobody_answers_harm_nobody(outside: Outside, load: Load) -> None:
    with frozen(outside, target_pods(outside)):
        assert outside.ask_many(REQUESTS // 4) == {OLD: REQUESTS // 4}
        before = load.count(OLD)
        wait_until(lambda: load.count(OLD) > before + 200, "clients are answered")
    assert not load.count(NEW)


def test_weight_has_its_share_and_promoting_loses_nothing(outside: Outside, load: Load) -> None:
    outside.steer("resume")
    outside.wait_paused(3)
    found: Counter[float] = outside.ask_many(REQUESTS)
    assert is_fair(found[NEW], found.total(), WEIGHT), found
    outside.steer("promote")
    outside.wait_ready(NAME)
    assert outside.ask_many(50) == outside.ask_many(50, **TESTER) == {NEW: 50}


def test_abort_takes_the_weight_back_and_nothing_is_lost(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"model": outside.push_adder(WORSE)})
    outside.wait_paused(1)
    outside.steer("resume")
    outside.wait_paused(3)
    outside.steer("abort")
    outside.wait_aborted()
    assert outside.ask_many(50) == {NEW: 50}


def test_scaling_down_loses_nothing(outside: Outside, load: Load) -> None:
    outside.edit(NAME, {"replicas": 1, "model": outside.push_adder(NEW)})
    outside.wait_ready(NAME)
    wait_until(lambda: len(outside.items("pods", name=NAME)) == 1, "one pod is left", 120)


def test_gateway_ends_a_request_that_takes_too_long(outside: Outside) -> None:
    connection = http.client.HTTPConnection(*outside.address(NAME), timeout=60)
    with frozen(outside, outside.items("pods", name=NAME)):
        began = time.monotonic()
        connection.request("POST", f"/v2/models/{NAME}/infer", json.dumps(adder_request(0.0)))
        answer = connection.getresponse()
        assert answer.status == http.client.GATEWAY_TIMEOUT, answer.read()
        assert time.monotonic() - began >= TIMEOUT_SECONDS
    connection.close()
    outside.wait_ready(NAME)
    assert outside.ask_many(20) == {NEW: 20}


def test_requests_through_the_gateway_wake_a_service_that_sleeps(outside: Outside) -> None:
    asleep = outside.put_to_sleep(timeoutSeconds=100)
    assert outside.ask_at_once(50) == {NEW}
    woken = outside.wait_ready(NAME)
    assert woken["metadata"]["generation"] == asleep["metadata"]["generation"] + 1
