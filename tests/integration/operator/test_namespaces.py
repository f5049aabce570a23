"""Releases for some namespaces, with the Roles of the chart and no other rights."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hack.cluster import testing
from tests.integration.operator.conftest import PATIENT_LEASE, Kube
from tests.support.activator_process import ActivatorProcess
from tests.support.operator_process import OperatorOptions, OperatorProcess, wait_until
from tests.support.release import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hack.cluster.cluster import Cluster

OPERATOR = "modelservice-operator"
REQUESTS = "modelservice_{}_api_requests_total"


@pytest.fixture
def places(installed: Cluster) -> Iterator[tuple[Kube, Kube, Kube, Kube]]:
    """Four namespaces."""
    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(testing.fresh_namespace(installed.api)) for _ in range(4)]
        system, mail, shop, other = (Kube(installed.api, name) for name in names)
        yield system, mail, shop, other


def start(
    cluster: Cluster, release: Release, folder: Path, component: str = "", *more: str
) -> OperatorProcess:
    """Start a component as the release would, as its account; the operator's file of runtimes is here."""
    name = f"{OPERATOR}-{component}" if component else OPERATOR
    kubeconfig = release.kubeconfig(cluster, name, folder)
    log = folder / f"{release.namespace}-{component or 'operator'}.log"
    flags = [one for one in release.arguments(name) if not one.startswith(("--namespace=", "--runtimes="))]
    first, *others = [one for one in release.arguments(name) if one.startswith("--namespace=")]
    namespace = first.partition("=")[2]
    if component == "activator":
        return ActivatorProcess(kubeconfig, namespace, log, *flags, *others, host="127.0.0.1").start()
    lease = ("--lease-namespace", release.namespace, *PATIENT_LEASE)
    if not component:
        file = folder / f"{release.namespace}-runtimes.yaml"
        file.write_text(release.find("ConfigMap", f"{OPERATOR}-runtimes")["data"]["runtimes.yaml"])
        more = ("--runtimes", str(file), *more)
    else:
        more = ("--grpc-host", "127.0.0.1", "--grpc-port", "0", *more)
    options = OperatorOptions(
        kubeconfig=kubeconfig,
        namespace=namespace,
        log=log,
        flags=(*flags, *others, *lease, *more),
        module=f"modelservice_{component or 'operator'}",
    )
    return OperatorProcess(options).start()


@pytest.fixture
def end() -> Iterator[contextlib.ExitStack]:
    """What is killed when the test is over."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_release_serves_its_namespaces_with_roles_alone_and_never_asks_for_more(
    installed, places, tmp_path, end
):
    system, mail, shop, other = places
    release = Release.render(system.namespace, operator__watchNamespaces=[mail.namespace, shop.namespace])
    release.grant(installed)
    started = {
        component: start(installed, release, tmp_path, component)
        for component in ("", "autoscaler", "activator")
    }
    for process in started.values():
        end.callback(process.kill)
    for kube in (mail, shop, other):
        kube.apply_service(replicas=2)
    # One that no node takes, one that names a runtime of the cluster, and one with a kind that is optional.
    mail.apply_service("large", resources={"requests": {"cpu": "9999"}})
    mail.apply_service("foreign", runtime={"ref": "elsewhere"})
    shop.apply_service("seen", route={"hostnames": ["seen.example"], "ingress": {"className": "nginx"}})
    for kube in (mail, shop):
        assert kube.wait_ready()["status"]["runtime"]["image"] == "modelservice/runtime:0.1.0"
    assert (
        "of this operator's installation (onnx)" in mail.wait_reason("RuntimeNotFound", "foreign")["message"]
    )
    mail.wait_reason("Unschedulable", "large")
    ingresses = f"/apis/networking.k8s.io/v1/namespaces/{shop.namespace}/ingresses"
    wait_until(lambda: installed.api.get(ingresses)["items"], "the Ingress is there")
    shop.apply_service(tag="2")  # a new revision
    shop.wait_ready()
    assert "status" not in other.service()
    assert not any(other.children().values())
    for component, process in started.items():
        process.wait_ready()
        requests = REQUESTS.format(component or "operator")
        assert process.metric(requests, code="200") > 0, component
        assert process.metric(requests, code="403") == 0, component
    for plural in ("nodes", "modelruntimes", "gatewayclasses"):
        assert started[""].metric(REQUESTS.format("operator"), resource=plural) == 0, plural


def test_two_releases_serve_side_by_side_and_neither_waits_for_a_namespace_without_rights(
    installed, places, tmp_path, end
):
    system, mail, shop, other = places
    for home, served in ((system, mail), (other, shop)):
        release = Release.render(home.namespace, operator__watchNamespaces=[served.namespace])
        release.grant(installed)
        # A namespace that is gone has taken the Role with it.
        process = start(installed, release, tmp_path, "", "--namespace=gone")
        end.callback(process.kill)
        served.apply_service()
        served.wait_ready()
        process.wait_at_rest(quiet_seconds=1)
    before = mail.versions()
    shop.apply_service(tag="2")
    shop.wait_ready()
    assert mail.versions() == before
