"""The rights in the install manifests are enough, and none is missing only in rare cases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.keda import keda_crd
from tests.support.operator_process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture
def limited_kubeconfig(installed, kube, tmp_path) -> Iterator[Path]:
    """A kubeconfig of a ServiceAccount that has the rights of `manifests/install.yaml`."""
    name, namespace = f"operator-{kube.namespace}", kube.namespace
    documents = list(yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text(encoding="utf-8")))
    rules = {
        kind: next(
            one["rules"]
            for one in documents
            if (one["kind"], one["metadata"]["name"]) == (kind, "modelservice-operator")
        )
        for kind in ("ClusterRole", "Role")
    }
    account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    kube.api.create(kube.path("serviceaccounts"), {"metadata": {"name": name}})
    for kind, place in (("ClusterRole", {}), ("Role", {"namespace": namespace})):
        metadata: dict[str, Any] = {"name": name, **place}
        kube.api.apply({"apiVersion": RBAC, "kind": kind, "metadata": metadata, "rules": rules[kind]})
        kube.api.apply(
            {
                "apiVersion": RBAC,
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [account],
            }
        )
    token = kube.api.create(
        kube.path("serviceaccounts", name) + "/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )["status"]["token"]
    config = yaml.safe_load(installed.kubeconfig.read_text(encoding="utf-8"))
    for user in config["users"]:
        user["user"] = {"token": token}
    path = tmp_path / "limited-kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    yield path
    for plural in ("clusterrolebindings", "clusterroles"):
        kube.api.delete(f"/apis/{RBAC}/{plural}/{name}")


@pytest.fixture
def keda(installed) -> Iterator[None]:
    with keda_crd(installed.api):
        yield


def test_rights_of_the_install_manifests_are_enough(kube, make_operator, limited_kubeconfig, keda):
    # The Lease of an autoscaler that nobody has started.
    address = f"modelservice-operator-autoscaler.{kube.namespace}.svc:9090"
    operator = make_operator("--scaler-address", address, kubeconfig=limited_kubeconfig)
    operator.start().wait_leading()
    metrics = [{"type": "CPU", "target": {"averageUtilization": 80}}]
    kube.apply_service(replicas=2)
    kube.wait_ready()
    kube.apply_service(autoscaling={"maxReplicas": 3, "metrics": metrics})
    wait_until(lambda: kube.children()["horizontalpodautoscalers"], "the autoscaler is there")
    assert kube.wait_ready()["spec"]["replicas"] == 2
    objects = f"/apis/keda.sh/v1alpha1/namespaces/{kube.namespace}/scaledobjects"
    kube.apply_service(autoscaling={"maxReplicas": 3, "provider": "Keda"})
    wait_until(lambda: kube.api.find(f"{objects}/spam"), "KEDA is told")
    kube.apply_service(tag="2")  # a new revision, an autoscaler less
    kube.wait_ready()
    wait_until(lambda: not kube.api.find(f"{objects}/spam"), "KEDA is told no more")
    wait_until(lambda: kube.children()["horizontalpodautoscalers"] == (), "the autoscaler is gone")
    wait_until(
        lambda: operator.metric("modelservice_operator_events_total", outcome="sent") > 0, "an event was sent"
    )
    assert operator.metric("modelservice_operator_api_requests_total", resource="pods", code="200") > 0
    assert operator.metric("modelservice_operator_api_requests_total", code="403") == 0
    assert operator.stop() == 0
