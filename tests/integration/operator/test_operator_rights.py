"""The rights in the install manifests are enough, and none is missing only in rare cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.keda import keda_crd
from tests.support.operator_process import wait_until
from tests.support.rights import limited_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def limited_kubeconfig(installed, kube, tmp_path) -> Iterator[Path]:
    """A kubeconfig of a ServiceAccount that has the operator's rights."""
    with limited_to(installed, kube.namespace, "modelservice-operator", tmp_path) as path:
        yield path


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
