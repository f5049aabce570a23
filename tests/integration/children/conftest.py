"""A control plane with our CRDs, for children made by the builders and applied without the operator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.api import Object, condition_status
from tests.unit.operator.builders import NOW, make_model_service, make_observed, make_runtime

from modelservice_operator.decide.decide import decide
from modelservice_operator.facts.labels import MANAGER
from modelservice_operator.facts.observed import ClusterFacts

if TYPE_CHECKING:
    from hack.cluster.api import Api
    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[3]
RUNTIMES = (
    make_runtime(default=True, gpuImage="registry.example/gpu:1"),
    make_runtime("every-gpu", gpuImages={"amd.com": "registry.example/amd:1", "gpu.intel.com": "i:1"}),
)
COMPONENTS = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "modelservice-system"}},
    "podSelector": {
        "matchLabels": {"app.kubernetes.io/instance": "modelservice-operator"},
        "matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": ["a", "b"]}],
    },
}
CLUSTER = ClusterFacts(kinds=frozenset({"ResourceClaimTemplate"}), components=(COMPONENTS,))


@dataclass(frozen=True)
class Family:
    """A ModelService in the cluster and the children that it wants."""

    api: Api
    service: Object
    children: tuple[Object, ...]

    def child(self, kind: str) -> Object:
        return next(body for body in self.children if body["kind"] == kind)

    def apply(self) -> None:
        for body in self.children:
            self.api.apply(body, manager=MANAGER)


@dataclass(frozen=True)
class Families:
    """Makes ModelServices in one namespace."""

    api: Api
    namespace: str

    def create(self, spec: dict[str, Any]) -> Family:
        manifest = make_model_service(**spec)
        manifest["metadata"] = {"name": "spam", "namespace": self.namespace}
        service = self.api.apply(manifest)
        observed = make_observed(service, *RUNTIMES, cluster=CLUSTER)
        return Family(self.api, service, decide(observed, NOW).desired)


@pytest.fixture(scope="session")
def crds(control_plane: Cluster) -> Cluster:
    """The control plane with the CRDs: children need an owner that exists, or they are collected."""
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = control_plane.api.apply(yaml.safe_load(file.read_text(encoding="utf-8")))
        path = control_plane.api.path_of(crd)
        control_plane.api.wait_for(path, is_established, what="established")
    return control_plane


def is_established(crd: Object) -> bool:
    # A CRD is stored with `conditions: null` for a moment.
    return bool(crd["status"]["conditions"]) and condition_status(crd, "Established") == "True"


@pytest.fixture
def families(crds: Cluster, namespace: str) -> Families:
    """A namespace that refuses pods which do not meet Pod Security "restricted"."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    crds.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    return Families(crds.api, namespace)
