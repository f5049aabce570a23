"""Both versions of the API are one on a real API server: its conversion, its tables, its field managers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.integration.api.conftest import ROOT, is_established
from tests.support.manifests import SMALLEST_SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

GROUP = "modelservice.dev"
NEW, OLD = f"{GROUP}/v1beta1", f"{GROUP}/v1alpha1"


def make_service(version: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": "ModelService",
        "metadata": {"name": "spam", "namespace": namespace},
        "spec": {**SMALLEST_SPECS["ModelService"], **spec},
    }


def path(version: str, namespace: str, subresource: str = "") -> str:
    return f"/apis/{version}/namespaces/{namespace}/modelservices/spam{subresource}"


def without_version(obj: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != "apiVersion"}


def test_object_is_the_same_in_both_versions(crds: Cluster, namespace: str) -> None:
    api = crds.api
    assert api.get(f"/apis/{GROUP}")["preferredVersion"]["version"] == "v1beta1"
    api.apply(make_service(NEW, namespace, replicas=2), manager="kubectl")
    api.patch(path(OLD, namespace, "/status"), {"status": {"replicas": 2, "selector": "a=b"}})
    new, old = (api.get(path(version, namespace)) for version in (NEW, OLD))
    assert (new["apiVersion"], old["apiVersion"]) == (NEW, OLD)
    assert without_version(new) == without_version(old)
    api.patch(path(NEW, namespace, "/scale"), {"spec": {"replicas": 5}})
    scale = api.get(path(OLD, namespace, "/scale"))
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (5, "a=b")
    crd = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelservices.{GROUP}")
    assert crd["status"]["storedVersions"] == ["v1alpha1"]


def test_applies_in_either_version_change_nothing_and_write_nothing(crds: Cluster, namespace: str) -> None:
    api = crds.api
    for version in (NEW, OLD, NEW):
        applied = api.apply(make_service(version, namespace, replicas=2), manager="kubectl")
        api.patch(path(OLD, namespace, "/status"), {"status": {"replicas": 2}})
        settled = api.apply(make_service(version, namespace, replicas=2), manager="kubectl")
        again = api.apply(make_service(version, namespace, replicas=2), manager="kubectl")
        assert settled["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"], version
        assert applied["metadata"]["generation"] == 1
        managers = [(one["manager"], one["operation"]) for one in again["metadata"]["managedFields"]]
        assert len(set(managers)) == len(managers), "an entry for each version"


def test_tables_and_explanations_of_the_preferred_version_are_whole(crds: Cluster, namespace: str) -> None:
    openapi = crds.api.get(f"/openapi/v3/apis/{GROUP}/v1beta1")["components"]["schemas"]
    (service,) = [one for name, one in openapi.items() if name.endswith(".ModelService")]
    assert service["properties"]["spec"]["properties"]["model"]["description"] == "Which model is served."
    for plural in ("modelservices", "modelruntimes", "runtimerollouts"):
        crd = crds.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{GROUP}")
        new, old = crd["spec"]["versions"]
        assert [one["name"] for one in new["additionalPrinterColumns"]] == [
            one["name"] for one in old["additionalPrinterColumns"]
        ]


@pytest.fixture
def downgraded(crds: Cluster, namespace: str) -> Iterator[str]:
    """A namespace with an object of the newer version, where an older release's definition came back."""
    crd = yaml.safe_load((ROOT / "crds/modelservices.yaml").read_text(encoding="utf-8"))
    before = copy.deepcopy(crd)
    before["spec"]["versions"] = [one for one in crd["spec"]["versions"] if one["name"] == "v1alpha1"]
    crds.api.apply(make_service(NEW, namespace, replicas=2), manager="kubectl")
    try:
        applied = crds.api.apply(before)
        crds.api.wait_for(crds.api.path_of(applied), is_established)
        yield namespace
    finally:
        applied = crds.api.apply(crd)
        crds.api.wait_for(crds.api.path_of(applied), is_established)
        # It is served again a moment after that was written.
        crds.api.wait_for(f"/apis/{NEW}/namespaces/{namespace}/modelservices", lambda _: True)


def test_older_definition_can_be_brought_back(crds: Cluster, downgraded: str) -> None:
    api = crds.api
    api.patch(path(OLD, downgraded, "/status"), {"status": {"replicas": 2}})
    api.patch(path(OLD, downgraded, "/scale"), {"spec": {"replicas": 3}})
    applied = api.apply(make_service(OLD, downgraded, replicas=2), manager="kubectl")
    assert (applied["spec"]["replicas"], applied["status"]["replicas"]) == (2, 2)
