"""Each component does its work with the rights of the install manifests, and uses each of them.

What it asks for is read from the API server's audit log.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import yaml
from hack.cluster.audit import read_events
from hack.cluster.gateways import install_gateway_api, make_gateway, make_gateway_class, remove_gateway_api
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from tests.integration.operator.test_sleep_killed import PlayedActivator
from tests.support import rights_audit
from tests.support.activator_process import ActivatorProcess, own_address, put_slice
from tests.support.fault_proxy import FaultProxy, Rule
from tests.support.keda import keda_crd
from tests.support.operator_process import (
    OperatorOptions,
    OperatorProcess,
    proxy_kubeconfig,
    wait_until,
)
from tests.support.played_pods import played_pods, pod_addresses
from tests.support.ports import free_port
from tests.support.rights import limited_to, load_rules
from tests.support.rights_audit import Right

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATOR = "modelservice-operator"
AUTOSCALER = "modelservice-operator-autoscaler"
ACTIVATOR = "modelservice-operator-activator"
MODELS = "modelservice.dev"

PATIENCE_SECONDS = 180.0
"""Pods of a fake node are ready at once, on a machine that is not busy."""

Process = TypeVar("Process", bound=OperatorProcess)

NEVER_NOTED = {
    Right(MODELS, "modelservices/finalizers", "update"): (
        "asked by an admission plug-in of OpenShift, not by a request"
    ),
}
"""What no audit log shows, and why it is granted all the same."""

ROUTE = {"parentRefs": [{"name": "web"}], "hostnames": ["a.example.com"], "grpcHostnames": ["b.example.com"]}
INGRESS = {"ingress": {"className": "nobody"}, "hostnames": ["c.example.com"]}
METRICS = [{"type": "CPU", "target": {"averageUtilization": 80}}]
CLAIM = {"count": 1, "claim": {"deviceClassName": "example.com"}}
GPU_RUNTIME = {"runtime": {"ref": "rights-gpu"}}
FORGETFUL = {"rollout": {"revisionHistoryLimit": 0}}
EVALUATION = {"data": {"file": "rows.csv"}, "min": "0.9"}
COMES_AND_GOES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (fields that bring children, fields that take them away)
    "routed": (
        {"route": ROUTE, "autoscaling": {"maxReplicas": 3, "metrics": METRICS}},
        {"serviceAccountName": "default", "networkPolicy": {"mode": "Disabled"}, **FORGETFUL},
    ),
    "ingress": ({"route": INGRESS, "autoscaling": {"maxReplicas": 3, "provider": "Keda"}}, {}),
    "device": (
        {**GPU_RUNTIME, "gpu": CLAIM, "replicas": 2},
        {**GPU_RUNTIME, "autoscaling": {"maxReplicas": 3}},
    ),
    "scored": ({"rollout": {"evaluation": EVALUATION}}, {}),
    "dozer": ({"replicas": 0, "autoscaling": {"minReplicas": 0, "maxReplicas": 2, "provider": "HPA"}}, {}),
}


@pytest.fixture
def optional_kinds(installed: Any, kube: Any) -> Iterator[None]:
    """Kinds that a cluster may lack, and a ModelRuntime with an image for GPUs."""
    api = installed.api
    install_gateway_api(api)
    runtime = {"apiVersion": f"{MODELS}/v1alpha1", "kind": "ModelRuntime", "metadata": {"name": "rights-gpu"}}
    api.apply({**runtime, "spec": {"image": "registry.example/cpu:1", "gpuImage": "registry.example/gpu:1"}})
    api.apply(make_gateway_class("nobody"))
    api.apply(make_gateway(kube.namespace, class_name="nobody", hostname="*.example.com"))
    with keda_crd(api):
        yield
    api.delete(f"/apis/{MODELS}/v1alpha1/modelruntimes/rights-gpu")
    remove_gateway_api(api)


@contextlib.contextmanager
def open_token_proxy(kubeconfig: Path) -> Iterator[tuple[FaultProxy, Path]]:
    """A proxy that adds no credentials, and a kubeconfig that names it and has the token of another."""
    configuration = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    with FaultProxy(configuration.host, context) as proxy:
        path = proxy_kubeconfig(kubeconfig.with_name("proxied"), proxy.url)
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["users"] = [
            {**one, "name": "nobody"}
            for one in yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["users"]
        ]
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        yield proxy, path


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    """A component that runs, and ends at the latest with the test."""
    process.start()
    try:
        yield process
    finally:
        process.kill()


def check_rights(cluster: Any, namespace: str, component: str) -> None:
    """Fail where the component missed a right, or has one that it never used."""
    events = rights_audit.by_account(read_events(cluster.paths), [(namespace, f"{component}-{namespace}")])
    assert rights_audit.missed(events) == []
    rules = [rule for granted in load_rules(component).values() for rule in granted]
    never_noted = {*NEVER_NOTED} & rights_audit.granted(rules)
    assert sorted(map(str, rights_audit.unused(rules, events))) == sorted(map(str, never_noted))


CHILDREN = (
    "apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects/ingress",
    "apis/gateway.networking.k8s.io/v1/namespaces/{}/grpcroutes/routed",
    "apis/networking.k8s.io/v1/namespaces/{}/ingresses/ingress",
    "api/v1/namespaces/{}/serviceaccounts/routed-runtime",
    "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies/routed",
    "apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/dozer-activator",
)


def wait_children(kube: Any, *, there: bool) -> None:
    """Wait until the services of the table have what they ask for, or have it no more."""
    for path in (one.format(kube.namespace) for one in CHILDREN):
        wait_until(
            lambda path=path: bool(kube.api.find(f"/{path}")) == there,
            f"{path} is {'there' if there else 'gone'}",
            PATIENCE_SECONDS,
        )
    jobs = f"/apis/batch/v1/namespaces/{kube.namespace}/jobs"
    wait_until(
        lambda: bool(kube.api.get(jobs)["items"]) == there, "Jobs are there, or gone", PATIENCE_SECONDS
    )


def roll_nothing(kube: Any) -> None:
    """A RuntimeRollout without members is complete at once, and deleted as it asks."""
    path = f"/apis/{MODELS}/v1alpha1/runtimerollouts/rights-{kube.namespace}"
    spec = {
        "target": {"runtime": "rights-gpu"},
        "selector": {"namespaces": [kube.namespace], "matchLabels": {"nobody": "here"}},
        "waves": [{"name": "rest", "rest": True}],
        "ttlSecondsAfterFinished": 0,
    }
    kube.api.apply(
        {
            "apiVersion": f"{MODELS}/v1alpha1",
            "kind": "RuntimeRollout",
            "metadata": {"name": f"rights-{kube.namespace}"},
            "spec": spec,
        }
    )
    kube.api.wait_gone(path, timeout_seconds=PATIENCE_SECONDS)


def let_it_flap(kube: Any, proxy: FaultProxy, name: str) -> None:
    """Change a service to and fro until the operator only counts what becomes of it."""
    for tag in itertools.islice(itertools.cycle(("2", "1")), 100):
        kube.apply_service(name, tag, replicas=0)
        kube.wait_observed(name)
        if any(one.method == "PATCH" and "/events/" in one.path for one in proxy.requests):
            return
    pytest.fail("no event became a series")


def lose_news(kube: Any, proxy: FaultProxy, name: str) -> None:
    """Let changes of a ModelService and a ModelRuntime reach no watch, so that the auditor finds them."""
    silent = [
        proxy.add(Rule(lambda one, plural=plural: one.is_watch and one.path.endswith(plural), "hold"))
        for plural in ("modelservices", "modelruntimes")
    ]
    proxy.cut_watches()
    wait_until(lambda: all(one.used for one in silent), "it watches again, what it listed before")
    runtime = f"/apis/{MODELS}/v1alpha1/modelruntimes/rights-gpu"
    for number in range(100):
        kube.apply_service(name, replicas=1, tag=str(3 + number))
        kube.api.patch(runtime, {"metadata": {"annotations": {"example.com/late": str(number)}}})
        kube.wait_observed(name)
        # A list that the operator asks for by itself may bring the news too, on a machine that is busy.
        asked = {"/".join(one.path.split("/")[-2:]) for one in proxy.requests if one.method == "GET"}
        if {"modelruntimes/rights-gpu", f"modelservices/{name}"} <= asked:
            break
    else:
        pytest.fail("the auditor has found nothing")
    proxy.clear()


def test_operator_uses_every_right_and_misses_none(
    installed: Any, kube: Any, make_operator: Any, tmp_path: Path, optional_kinds: None
) -> None:
    flags = (
        # The Lease of an autoscaler that nobody has started.
        *("--scaler-address", f"{AUTOSCALER}.{kube.namespace}.svc:9090"),
        f"--activator-service={kube.namespace}/activator",
        *("--audit-interval-seconds", "2"),
    )
    with (
        contextlib.closing(PlayedActivator(kube)) as activator,
        limited_to(installed, kube.namespace, OPERATOR, tmp_path) as limited,
        open_token_proxy(limited) as (proxy, proxied),
    ):
        activator.appear()
        # RuntimeRollouts belong to operators of a whole cluster alone.
        operator = make_operator(*flags, kubeconfig=proxied, is_clusterwide=True).start().wait_leading()
        roll_nothing(kube)
        for name, (before, _) in COMES_AND_GOES.items():
            kube.apply_service(name, **before)
        kube.apply_service("too-large", resources={"requests": {"cpu": "1000"}})
        wait_children(kube, there=True)
        kube.wait_reason("Unschedulable", "too-large", PATIENCE_SECONDS)
        for name, (_, after) in COMES_AND_GOES.items():
            kube.apply_service(name, tag="2", **after)
        wait_children(kube, there=False)
        wait_until(lambda: kube.service("device")["spec"].get("replicas") == 2, "it begins with what runs")
        let_it_flap(kube, proxy, "too-large")
        lose_news(kube, proxy, "too-large")
        assert operator.stop() == 0
        check_rights(installed, kube.namespace, OPERATOR)


def test_autoscaler_uses_every_right_and_misses_none(
    installed: Any, kube: Any, make_operator: Any, tmp_path: Path
) -> None:
    make_operator("--scaler-address", f"{AUTOSCALER}.{kube.namespace}.svc:9090").start()
    with (
        limited_to(installed, kube.namespace, AUTOSCALER, tmp_path) as limited,
        pod_addresses() as addresses,
        played_pods(kube.api, f"rights-{kube.namespace}", addresses) as fleet,
    ):
        options = OperatorOptions(
            kubeconfig=limited,
            namespace=kube.namespace,
            log=tmp_path / "autoscaler.log",
            flags=("--lease-name", AUTOSCALER, "--grpc-port", str(free_port())),
            module="modelservice_autoscaler",
        )
        with running(OperatorProcess(options)) as autoscaler:
            autoscaler.wait_leading()
            signals = [{"type": "Concurrency", "target": {"averageValue": "2"}}]
            autoscaling = {"provider": "Builtin", "maxReplicas": 3, "metrics": signals}
            kube.apply_service(scheduling=fleet.node.scheduling, autoscaling=autoscaling)
            fleet.traffic.set(12.0)
            wait_until(
                lambda: (kube.service().get("status", {}).get("autoscaler") or {}).get("message"),
                "its decision is told",
                PATIENCE_SECONDS,
            )
            wait_until(lambda: kube.service()["spec"].get("replicas") == 3, "it scaled", PATIENCE_SECONDS)
            assert autoscaler.stop() == 0
        check_rights(installed, kube.namespace, AUTOSCALER)


@pytest.mark.skipif(own_address() is None, reason="an EndpointSlice takes no loopback address")
def test_activator_uses_every_right_and_misses_none(installed: Any, kube: Any, tmp_path: Path) -> None:
    kube.apply_service(replicas=0, autoscaling={"minReplicas": 0, "maxReplicas": 2})
    port = free_port()
    address = str(own_address())
    put_slice(kube.api, kube.namespace, "spam", "activator.modelservice.dev", address, http=port)
    with (
        limited_to(installed, kube.namespace, ACTIVATOR, tmp_path) as limited,
        open_token_proxy(limited) as (proxy, proxied),
        running(ActivatorProcess(proxied, kube.namespace, tmp_path / "log", host="127.0.0.5")) as activator,
    ):
        activator.wait_ready().wait_listening(kube.namespace, "spam")
        # Somebody writes what it does not hear of, so that it has to look at the service before it wakes it.
        silent = proxy.add(Rule(lambda one: one.is_watch and one.path.endswith("modelservices"), "hold"))
        proxy.cut_watches()
        wait_until(lambda: silent.used, "it watches again, what it listed before")
        annotations = {"metadata": {"annotations": {"example.com/touched": "yes"}}}
        kube.api.patch(kube.path("modelservices", "spam"), annotations)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.5", port, timeout=120)) as client:
            client.request("GET", "/v2/health/ready")
            wait_until(lambda: kube.service()["spec"]["replicas"] == 1, "it is woken")
            activator.kill()
    check_rights(installed, kube.namespace, ACTIVATOR)
