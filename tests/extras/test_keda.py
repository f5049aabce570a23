"""KEDA steers a ModelService through our external scaler, and leaves alone what it did for others before."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hack.cluster.api import condition_status
from hack.cluster.kubeconfig import write_kubeconfig
from hack.cluster.netns import NODE_ADDRESS, namespace_name
from tests.extras.aggregation import aggregated_api, wait_available
from tests.extras.keda import GROUP, PORT, VERSION, keda_crds, running_keda
from tests.extras.prometheus_adapter import API_SERVER, running
from tests.extras.test_prometheus_adapter import check_namespaces_go
from tests.integration.operator.test_sleep_killed import PlayedActivator
from tests.support.operator_process import ROOT, wait_until
from tests.support.played_pods import played_pods, pod_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hack.cluster.cluster import Cluster
    from tests.integration.operator.conftest import Kube, OperatorFactory
    from tests.support.played_pods import Fleet

SCALER_PORT = 9190
PATIENCE_SECONDS = 120.0
KEDA_PATH = "/apis/keda.sh/v1alpha1"


@pytest.fixture
def keda(control_plane: Cluster, inside: Sequence[str], tmp_path: Path) -> Iterator[None]:
    """KEDA as somebody installed it before us, with its part of the metrics API."""
    api = control_plane.api
    with (
        keda_crds(api),
        running_keda(control_plane, tmp_path, inside),
        aggregated_api(api, GROUP, VERSION, PORT) as registered,
    ):
        wait_available(api, registered)
        yield
        # KEDA has to release them, so it may not go before.
        paths = [api.path_of(one) for one in api.get(f"{KEDA_PATH}/scaledobjects")["items"]]
        for path in paths:
            api.delete(path)
        for path in paths:
            api.wait_gone(path)


@pytest.fixture
def fleet(kube: Kube, control_plane: Cluster) -> Iterator[Fleet]:
    with (
        pod_addresses(namespace_name(control_plane.name)) as addresses,
        played_pods(kube.api, f"{kube.namespace}-keda", addresses) as playing,
    ):
        yield playing


@pytest.fixture
def autoscaler(kube: Kube, control_plane: Cluster, inside: Sequence[str], tmp_path: Path) -> Iterator[None]:
    """Our autoscaler where KEDA can reach it."""
    kubeconfig = tmp_path / "autoscaler-kubeconfig"
    write_kubeconfig(kubeconfig, control_plane.paths.pki, "admin", API_SERVER)
    command = [
        *(*inside, "env", f"PYTHONPATH={ROOT / 'operator'}", sys.executable, "-m", "modelservice_autoscaler"),
        *(
            "--kubeconfig",
            str(kubeconfig),
            "--namespace",
            kube.namespace,
            "--lease-namespace",
            kube.namespace,
        ),
        *("--http-host", "127.0.0.1", "--http-port", "9191", "--grpc-port", str(SCALER_PORT)),
    ]
    with running(command, tmp_path / "autoscaler.log"):
        yield


@pytest.fixture
def activator(kube: Kube) -> Iterator[None]:
    """What could wake the service, so that it may sleep."""
    playing = PlayedActivator(kube)
    playing.appear()
    yield
    playing.close()


def engine(kube: Kube) -> str | None:
    found = kube.service().get("status", {}).get("autoscaling") or {}
    steering: str | None = found.get("engine")
    return steering


def replicas(kube: Kube) -> int:
    return int(kube.service()["spec"]["replicas"])


def own_scaled_object(kube: Kube) -> dict[str, Any]:
    """A ScaledObject of somebody else, for a Deployment of theirs."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "theirs", "namespace": kube.namespace},
        "spec": {
            "scaleTargetRef": {"name": "theirs"},
            "minReplicaCount": 2,
            "maxReplicaCount": 3,
            "triggers": [
                {
                    "type": "cron",
                    "metadata": {
                        "timezone": "Etc/UTC",
                        "start": "0 0 1 1 *",
                        "end": "1 0 1 1 *",
                        "desiredReplicas": "3",
                    },
                }
            ],
        },
    }


def apply_theirs(kube: Kube) -> None:
    """A Deployment that somebody else's ScaledObject keeps at 2 pods."""
    labels = {"app": "theirs"}
    containers = [{"name": "one", "image": "example/one:1"}]
    # Not on the node of the service's pods: it would get a share of their requests.
    pod = {"metadata": {"labels": labels}, "spec": {"nodeName": "kwok-0", "containers": containers}}
    kube.api.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "theirs", "namespace": kube.namespace},
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        }
    )
    kube.api.apply(own_scaled_object(kube))


def theirs(kube: Kube) -> tuple[int, dict[str, Any]]:
    """How many pods they want, and their ScaledObject's spec."""
    deployment = kube.api.get(kube.path("deployments", "theirs"))
    path = f"{KEDA_PATH}/namespaces/{kube.namespace}/scaledobjects/theirs"
    return int(deployment["spec"]["replicas"]), kube.api.get(path)["spec"]


def wait_replicas(kube: Kube, wanted: int) -> None:
    wait_until(lambda: replicas(kube) == wanted, f"{wanted} replicas are wanted", PATIENCE_SECONDS)


def test_keda_steers_a_service_from_one_to_many_to_zero_and_back(
    keda: None, fleet: Fleet, autoscaler: None, activator: None, kube: Kube, make_operator: OperatorFactory
) -> None:
    apply_theirs(kube)
    wait_until(lambda: theirs(kube)[0] == 2, "their Deployment is steered", PATIENCE_SECONDS)
    before = theirs(kube)
    flags = ("--scaler-address", f"{NODE_ADDRESS}:{SCALER_PORT}")
    make_operator(*flags, f"--activator-service={kube.namespace}/activator").start().wait_leading()
    kube.apply_service(
        scheduling=fleet.node.scheduling,
        autoscaling={
            "minReplicas": 0,
            "maxReplicas": 6,
            "idleSeconds": 5,
            "metrics": [{"type": "Concurrency", "target": {"averageValue": "2"}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}},
        },
    )
    wait_until(lambda: engine(kube) == "Keda", "KEDA steers it")
    fleet.traffic.set(1.0)
    wait_until(lambda: len(fleet.traffic.addresses) == 1, "a pod runs", PATIENCE_SECONDS)
    fleet.traffic.set(8.0)
    wait_replicas(kube, 4)
    fleet.traffic.set(0.0)
    wait_replicas(kube, 0)
    # The activator has a request: it writes one replica, and that is not taken back.
    kube.api.patch(f"{kube.path('modelservices', 'spam')}/scale", {"spec": {"replicas": 1}})
    fleet.traffic.set(1.0)
    time.sleep(12)  # KEDA has asked twice
    assert replicas(kube) == 1
    fleet.traffic.set(6.0)
    wait_replicas(kube, 3)
    path = f"{KEDA_PATH}/namespaces/{kube.namespace}/scaledobjects/spam"
    assert condition_status(kube.api.get(path), "Ready") == "True"
    assert theirs(kube) == before
    kube.api.delete(kube.path("modelservices", "spam"))
    kube.api.wait_gone(path)
    assert theirs(kube) == before
    check_namespaces_go(kube.api)
