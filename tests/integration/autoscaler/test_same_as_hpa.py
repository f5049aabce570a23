"""A real HPA of the real controller manager and our algorithm, on the same metrics, decide the same."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.netns import NODE_ADDRESS, namespace_name
from tests.extras.aggregation import aggregated_api, wait_available
from tests.integration.autoscaler.traces import TRACES, Stage, Trace, decide_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

PORT = 6445
GROUP, VERSION = "custom.metrics.k8s.io", "v1beta2"
POLL_SECONDS = 0.5
SETTLED_LOOKS = 2
"""How often an HPA must have asked without changing anything."""
TIMEOUT_SECONDS = 120.0


@dataclass
class Server:
    """The metrics server, as the test reaches it."""

    port: int

    def put(self, values: dict[str, dict[str, str]]) -> None:
        self._request("PUT", "/values", json.dumps(values))

    def asked(self) -> dict[str, int]:
        answer: dict[str, int] = json.loads(self._request("GET", "/asked", None))
        return answer

    def _request(self, method: str, path: str, body: str | None) -> str:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=120, context=context)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@pytest.fixture
def server(control_plane: Cluster) -> Iterator[Server]:
    """A metrics server beside the API server, and the API that it serves."""
    pki = control_plane.paths.pki
    program = Path(__file__).with_name("metrics_server.py")
    certificates = (str(pki / "apiserver.crt"), str(pki / "apiserver.key"))
    inside = ("ip", "netns", "exec", namespace_name(control_plane.name))
    process = subprocess.Popen(
        [*inside, sys.executable, str(program), *certificates, NODE_ADDRESS, str(PORT)]
    )
    try:
        with aggregated_api(control_plane.api, GROUP, VERSION, PORT) as path:
            wait_available(control_plane.api, path)
            yield Server(control_plane.forward(NODE_ADDRESS, PORT))
    finally:
        process.kill()
        process.wait(120)


@dataclass
class Played:
    """One trace on its way."""

    trace: Trace
    stage: int = 0
    settled: list[int] = field(default_factory=list)
    replicas: int = 0
    asked_before: int | None = None

    @property
    def load(self) -> Stage:
        return self.trace.stages[self.stage]

    @property
    def is_done(self) -> bool:
        return self.stage == len(self.trace.stages)

    def note(self, replicas: int, asked: int) -> None:
        """Go on to the next stage where the HPA looked often enough and changed nothing.

        It stays where it is expected, or where nothing moves any more for a long time.
        """
        if replicas != self.replicas or self.asked_before is None:
            self.replicas, self.asked_before = replicas, asked
        looks = SETTLED_LOOKS if replicas == self.load.expected else 8 * SETTLED_LOOKS
        if asked - self.asked_before > looks:
            self.settled.append(replicas)
            self.stage += 1
            self.asked_before = None


@pytest.mark.skipif(
    os.geteuid() != 0, reason="the API server reaches other servers in a network namespace only"
)
def test_hpa_and_ours_settle_at_the_same_replicas(
    control_plane: Cluster, namespace: str, server: Server
) -> None:
    api = control_plane.api
    for trace in TRACES:
        api.apply(make_deployment(trace, namespace))
        api.apply(make_hpa(trace, namespace))
    played = [Played(trace) for trace in TRACES]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not all(one.is_done for one in played):
        assert time.monotonic() < deadline, [
            f"{one.trace.name}: {one.settled}, now at {one.replicas}" for one in played if not one.is_done
        ]
        pods = running_pods(api, namespace)
        server.put(make_values(played, namespace, pods))
        asked = server.asked()
        for one, replicas in zip(played, replicas_of(api, namespace), strict=True):
            if not one.is_done:
                one.note(replicas, asked.get(path_of(one.trace, namespace), 0))
        time.sleep(POLL_SECONDS)
    assert {one.trace.name: one.settled for one in played} == {
        trace.name: [stage.expected for stage in trace.stages] for trace in TRACES
    }


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def test_ours_settles_where_the_hpa_does(trace: Trace) -> None:
    expected = [stage.expected if stage.ours is None else stage.ours for stage in trace.stages]
    assert decide_ours(trace) == expected


def path_of(trace: Trace, namespace: str, metric: dict[str, Any] | None = None) -> str:
    """Return where an HPA asks for a metric."""
    kind = (metric or trace.metrics[0])["type"]
    base = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}"
    if kind == "QueueTime":
        return f"{base}/deployments.apps/{trace.name}/{kind}"
    return f"{base}/pods/*/{kind}?labelSelector=app={trace.name}"


def make_values(
    played: list[Played], namespace: str, pods: dict[str, list[str]]
) -> dict[str, dict[str, str]]:
    values = {}
    for one in played:
        load = one.trace.stages[min(one.stage, len(one.trace.stages) - 1)]
        answering = pods.get(one.trace.name, [])[load.silent :]
        totals = {"Concurrency": load.concurrency, "GPU": load.gpu}
        for metric in one.trace.metrics:
            total = totals.get(metric["type"])
            if metric["type"] == "QueueTime":
                found = {one.trace.name: f"{round(1000 * (load.queue_seconds or 0))}m"}
            elif total is None or not answering:
                continue
            else:
                found = {pod: f"{round(1000 * total / len(answering))}m" for pod in answering}
            values[path_of(one.trace, namespace, metric)] = found
    return values


def running_pods(api: Api, namespace: str) -> dict[str, list[str]]:
    """Return the names of the pods that run, the oldest first, by trace."""
    found: dict[str, list[str]] = {}
    pods = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    for pod in sorted(pods, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"])):
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
            found.setdefault(pod["metadata"]["labels"]["app"], []).append(pod["metadata"]["name"])
    return found


def replicas_of(api: Api, namespace: str) -> list[int]:
    deployments = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    found = {one["metadata"]["name"]: int(one["spec"]["replicas"]) for one in deployments}
    return [found[trace.name] for trace in TRACES]


def make_deployment(trace: Trace, namespace: str) -> dict[str, Any]:
    labels = {"app": trace.name}
    pod: dict[str, Any] = {"containers": [{"name": "server", "image": "registry.example/server:1"}]}
    pod["terminationGracePeriodSeconds"] = 0
    if trace.places:
        # One pod a node, and there is one node.
        alone = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
        pod["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": trace.name, "namespace": namespace},
        "spec": {
            "replicas": trace.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def make_hpa(trace: Trace, namespace: str) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": trace.name}
    wished = trace.autoscaling
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": trace.name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": wished["minReplicas"],
            "maxReplicas": wished["maxReplicas"],
            "behavior": wished["behavior"],
            "metrics": [make_metric(metric, target) for metric in trace.metrics],
        },
    }


def make_metric(metric: dict[str, Any], target: dict[str, str]) -> dict[str, Any]:
    """Return an API's metric as one of custom.metrics.k8s.io."""
    name, wished = {"name": metric["type"]}, metric["target"]
    if "value" in wished:
        steered = {"type": "Value", "value": wished["value"]}
        return {"type": "Object", "object": {"metric": name, "describedObject": target, "target": steered}}
    value = wished.get("averageValue") or str(wished["averageUtilization"])
    return {
        "type": "Pods",
        "pods": {"metric": name, "target": {"type": "AverageValue", "averageValue": value}},
    }
