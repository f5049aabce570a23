"""Training runs, as the command renders them, are taken by a real API server and by Kubeflow's definition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hack.cluster.api import condition_status
from hack.cluster.module_crds import module_crds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.cluster.cluster import Cluster

GOLDEN = Path(__file__).parents[2] / "unit/pipeline/jobs/golden"
TRAINER = "github.com/kubeflow/trainer/v2@v2.0.0"


@pytest.fixture
def trainer(control_plane: Cluster) -> Iterator[None]:
    """The definition of TrainJobs."""
    api = control_plane.api
    (crd,) = [
        one
        for one in module_crds(TRAINER, "manifests/base/crds")
        if one["spec"]["names"]["kind"] == "TrainJob"
    ]
    path = api.path_of(api.apply(crd))
    api.wait_for(path, lambda found: condition_status(found, "Established") == "True", what="established")
    yield
    api.delete(path)


def apply(cluster: Cluster, namespace: str, name: str) -> list[dict[str, Any]]:
    """Apply the objects of a file in a namespace; returns what is stored."""
    objects = yaml.safe_load_all((GOLDEN / name).read_text(encoding="utf-8"))
    return [
        cluster.api.apply({**one, "metadata": {**one["metadata"], "namespace": namespace}}) for one in objects
    ]


@pytest.mark.parametrize("name", ["job.yaml", "job-without-claim.yaml"])
def test_job_is_taken_and_makes_a_pod_for_each_node(
    control_plane: Cluster, namespace: str, name: str
) -> None:
    api = control_plane.api
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": restricted}})

    service, job = apply(control_plane, namespace, name)

    assert service["spec"]["clusterIP"] == "None"
    assert job["spec"]["completionMode"] == "Indexed"
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.wait_for(path, lambda found: len(found["items"]) == 2, what="two pods")
    hosts = {one["spec"]["hostname"] for one in api.get(path)["items"]}
    assert hosts == {"translator-0", "translator-1"}


def test_train_job_is_taken_as_it_is(control_plane: Cluster, namespace: str, trainer: None) -> None:
    (stored,) = apply(control_plane, namespace, "train-job.yaml")

    (written,) = yaml.safe_load_all((GOLDEN / "train-job.yaml").read_text(encoding="utf-8"))
    assert stored["spec"]["trainer"] == written["spec"]["trainer"]
    assert stored["spec"]["runtimeRef"]["name"] == "torch-distributed"
