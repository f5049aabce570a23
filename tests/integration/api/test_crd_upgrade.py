"""What was stored before a rule existed goes on: its status, scale and other fields can be written."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.api import ApiError, Object
from tests.integration.api.conftest import ROOT, is_established
from tests.support.manifests import SMALLEST_SPECS, merge_patch

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster

VALIDATIONS = "x-kubernetes-validations"
STORED = {
    "two-gpus": {"gpu": {"count": 2}},
    "no-request": {"resources": {"limits": {"memory": "1Gi"}}, "autoscaling": {"maxReplicas": 4}},
    "average-of-zero": {
        "autoscaling": {"maxReplicas": 4, "metrics": [{"type": "CPU", "target": {"averageValue": "0"}}]}
    },
    "spam-pods": {},
}


def without_rules(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: without_rules(value) for key, value in schema.items() if key != VALIDATIONS}
    return [without_rules(item) for item in schema] if isinstance(schema, list) else schema


def apply_crd(cluster: Cluster, crd: Object) -> None:
    applied = cluster.api.apply(copy.deepcopy(crd))
    cluster.api.wait_for(cluster.api.path_of(applied), is_established, what="established")


def make_service(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name},
        "spec": merge_patch(SMALLEST_SPECS["ModelService"], spec),
    }


@pytest.fixture
def stored(crds: Cluster, namespace: str) -> str:
    """The collection's path; its objects came before the rules."""
    crd = yaml.safe_load((ROOT / "crds" / "modelservices.yaml").read_text(encoding="utf-8"))
    path = f"/apis/modelservice.dev/v1alpha1/namespaces/{namespace}/modelservices"
    apply_crd(crds, without_rules(crd))
    try:
        wait_for_schema(crds, path, with_rules=False)
        for name, spec in STORED.items():
            crds.api.create(path, make_service(name, spec))
    finally:
        apply_crd(crds, crd)
        wait_for_schema(crds, path, with_rules=True)
    return path


def wait_for_schema(cluster: Cluster, path: str, *, with_rules: bool) -> None:
    """The API server takes a new schema into use some time after it was written."""
    deadline = time.monotonic() + 60
    while is_taken(cluster, path) == with_rules:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_taken(cluster: Cluster, path: str) -> bool:
    try:
        cluster.api.create(f"{path}?dryRun=All", make_service("probe", STORED["two-gpus"]))
    except ApiError as error:
        if error.code != 422:
            raise
        return False
    return True


def test_stored_objects_are_scaled_edited_and_reported(crds: Cluster, stored: str) -> None:
    for name, spec in STORED.items():
        crds.api.patch(f"{stored}/{name}/scale", {"spec": {"replicas": 3}})
        crds.api.patch(f"{stored}/{name}/status", {"status": {"replicas": 3}})
        edited = crds.api.patch(f"{stored}/{name}", {"spec": {"model": {"version": "4"}}})
        assert (edited["spec"]["replicas"], edited["spec"]["model"]["version"]) == (3, "4"), spec


def test_new_objects_of_the_same_kind_are_refused(crds: Cluster, stored: str) -> None:
    for name, spec in STORED.items():
        crds.api.delete(f"{stored}/{name}")
        with pytest.raises(ApiError) as refused:
            crds.api.create(stored, make_service(name, spec))
        assert refused.value.code == 422


def test_stored_object_cannot_ask_for_still_more_gpus(crds: Cluster, stored: str) -> None:
    with pytest.raises(ApiError, match=r"spec\.gpu\.count.*expected 1"):
        crds.api.patch(f"{stored}/two-gpus", {"spec": {"gpu": {"count": 3}}})


def test_stored_object_that_broke_no_rule_is_asked(crds: Cluster, namespace: str) -> None:
    path = f"/apis/modelservice.dev/v1alpha1/namespaces/{namespace}/modelservices"
    crds.api.create(path, make_service("spam", {"resources": {"limits": {"memory": "1Gi"}}}))
    with pytest.raises(ApiError, match=r"add spec\.resources\.requests\.cpu"):
        crds.api.patch(f"{path}/spam", {"spec": {"autoscaling": {"maxReplicas": 4}}})
