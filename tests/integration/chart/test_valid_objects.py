"""Everything that we have people apply fits the schemas of a real API server, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.binaries import find_programs
from hack.cluster.families import FAMILIES
from hack.cluster.gateways import GATEWAY_API
from hack.cluster.module_crds import module_crds
from tests.integration.chart.test_chart_rights import VALUES
from tests.support.chart import MODEL_RUNTIME_API, MONITORING_API, Chart, Loader, Object
from tests.support.schemas import Kind, Validator, kind_of, write_schemas

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster

ROOT = Path(__file__).parents[3]
FILES = sorted(
    file
    for folder in ("manifests", "examples", "gitops")
    for file in (ROOT / folder).rglob("*.yaml")
    if "kind:" in file.read_text(encoding="utf-8")
)
UNKNOWN = {"argoproj.io", "helm.toolkit.fluxcd.io", "kustomize.config.k8s.io"}
"""Groups whose CRDs no Go module brings that can be had, and kustomize's own files, which no server takes."""
OTHERS = {
    "gateway.networking.k8s.io": (GATEWAY_API, "config/crd/standard"),
    "monitoring.coreos.com": (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
    "source.toolkit.fluxcd.io": (
        f"github.com/fluxcd/source-controller@{FAMILIES['source-controller'].version}",
        "config/crd/bases",
    ),
    "kustomize.toolkit.fluxcd.io": (
        f"github.com/fluxcd/kustomize-controller@{FAMILIES['kustomize-controller'].version}",
        "config/crd/bases",
    ),
}
"""Groups of others that we use: the Go module and its folder that have the CRDs."""


def read(file: Path) -> list[Object]:
    documents = yaml.load_all(file.read_text(encoding="utf-8"), Loader)
    return [one for one in documents if one and "apiVersion" in one]


def known(objects: list[Object]) -> list[Object]:
    return [one for one in objects if group_of(one) not in UNKNOWN]


def group_of(obj: Object) -> str:
    return str(obj["apiVersion"].rpartition("/")[0])


@pytest.fixture(scope="module")
def rendered(chart: Chart) -> dict[str, list[Object]]:
    """What the chart installs, by the name of the values."""
    apis = (MODEL_RUNTIME_API, MONITORING_API)
    return {
        name: chart.render({**values, "crds": {"install": name == "everything"}}, apis=apis, tests=True)
        for name, values in VALUES.items()
    }


@pytest.fixture(scope="module")
def validator(
    crds: Cluster, rendered: dict[str, list[Object]], tmp_path_factory: pytest.TempPathFactory
) -> Validator:
    """kubeconform, and the schemas of all kinds that we use."""
    objects = [one for found in (*rendered.values(), *map(read, FILES)) for one in known(found)]
    kinds: set[Kind] = {kind_of(one) for one in objects if group_of(one) not in OTHERS}
    used = {group_of(one) for one in objects} & OTHERS.keys()
    folder = tmp_path_factory.mktemp("schemas")
    others = [crd for group in sorted(used) for crd in module_crds(*OTHERS[group])]
    write_schemas(crds.api, kinds, others, folder)
    return Validator(find_programs(["kubeconform"])["kubeconform"], folder)


@pytest.mark.parametrize("name", VALUES)
def test_chart_renders_valid_objects(validator: Validator, rendered: Any, name: str) -> None:
    objects = known(rendered[name])
    assert objects
    assert validator.find_faults(objects) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_hold_valid_objects(validator: Validator, file: Path) -> None:
    assert validator.find_faults(known(read(file))) == []


SERVICE = {
    "apiVersion": "modelservice.dev/v1alpha1",
    "kind": "ModelService",
    "metadata": {"name": "spam"},
    "spec": {"model": {"storageUri": "oci://registry.example/spam:1"}},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": {**SERVICE["spec"], "replica": 2}}, "replica"),  # type: ignore[dict-item]
        ({"spec": {**SERVICE["spec"], "replicas": "2"}}, "integer"),  # type: ignore[dict-item]
        ({"spec": {}}, "model"),
        ({"kind": "ModelServise"}, "could not find schema"),
    ],
    ids=["misspelt", "wrong type", "missing", "unknown kind"],
)
def test_validator_finds_what_is_wrong(validator: Validator, change: Object, said: str) -> None:
    assert validator.find_faults([SERVICE]) == []
    (fault,) = validator.find_faults([{**SERVICE, **change}])
    assert said in fault


def test_validator_finds_a_wrong_field_of_kubernetes_own_kinds(validator: Validator, rendered: Any) -> None:
    (deployment, *_) = [one for one in rendered["defaults"] if one["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    spec["containers"][0]["imagePullPolice"] = "Always"
    (fault,) = validator.find_faults([deployment])
    assert "imagePullPolice" in fault
