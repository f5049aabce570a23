"""The real API server decides about every manifest of the table as the models do, with the same sentences."""

import pytest
from hack.cluster.api import ApiError
from hack.cluster.cluster import Cluster
from tests.support.manifests import Case, model_runtime_cases, model_service_cases

QUERY = "dryRun=All&fieldValidation=Strict"


def identify(case: Case) -> str:
    return case.name


def submit(cluster: Cluster, namespace: str, case: Case) -> str:
    """Return the API server's refusal, or an empty string."""
    group = "/apis/modelservice.dev/v1alpha1"
    runtime = case.manifest["kind"] == "ModelRuntime"
    path = f"{group}/modelruntimes" if runtime else f"{group}/namespaces/{namespace}/modelservices"
    try:
        cluster.api.create(f"{path}?{QUERY}", case.manifest)
    except ApiError as error:
        if error.code not in (400, 422):
            raise
        return error.message
    return ""


@pytest.mark.parametrize("case", [*model_service_cases(), *model_runtime_cases()], ids=identify)
def test_api_server_decides_as_the_table_says(crds: Cluster, shared_namespace: str, case: Case) -> None:
    refusal = submit(crds, shared_namespace, case)
    assert bool(refusal) == bool(case.refused), refusal or "accepted"
    assert not case.missing_sentences(refusal, "server"), refusal
