"""The real API server decides about every manifest of the table as the models do, with the same sentences."""

from pathlib import Path

import pytest
import yaml
from hack.cluster.api import ApiError
from hack.cluster.cluster import Cluster
from tests.support.manifests import (
    Case,
    model_runtime_cases,
    model_service_cases,
    runtime_rollout_cases,
)

CASES = [*model_service_cases(), *model_runtime_cases(), *runtime_rollout_cases()]
QUERY = "dryRun=All&fieldValidation=Strict"


def identify(case: Case) -> str:
    return case.name


def submit(cluster: Cluster, namespace: str, case: Case) -> str:
    """Return the API server's refusal, or an empty string."""
    group = "/apis/modelservice.dev/v1alpha1"
    plural = f"{case.manifest['kind'].lower()}s"
    is_namespaced = plural == "modelservices"
    path = f"{group}/namespaces/{namespace}/{plural}" if is_namespaced else f"{group}/{plural}"
    try:
        cluster.api.create(f"{path}?{QUERY}", case.manifest)
    except ApiError as error:
        if error.code not in (400, 422):
            raise
        return error.message
    return ""


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_api_server_decides_as_the_table_says(crds: Cluster, shared_namespace: str, case: Case) -> None:
    refusal = submit(crds, shared_namespace, case)
    assert bool(refusal) == bool(case.refused), refusal or "accepted"
    assert not case.missing_sentences(refusal, "server"), refusal


GPU_EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "06-gpu").glob("*.yaml"))


@pytest.mark.parametrize("path", GPU_EXAMPLES, ids=lambda path: path.stem)
def test_gpu_examples_are_taken(crds: Cluster, shared_namespace: str, path: Path) -> None:
    for body in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if body["kind"] == "ModelService":
            body["metadata"]["namespace"] = shared_namespace
        collection = crds.api.path_of(body).rsplit("/", 1)[0]
        crds.api.create(f"{collection}?{QUERY}", body)
