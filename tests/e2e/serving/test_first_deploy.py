"""From `kubectl apply` to a prediction, and then silence."""

import time

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import yaml
from hack.cluster.api import Object
from tests.support.installation import Installation
from tests.support.operator_process import wait_until
from tests.support.serving import SMALL, User, condition

NAME = "adder"
WRITES = "modelservice_operator_writes_total"
RECONCILES = "modelservice_operator_reconcile_total"
# Longer than the pauses between looks at pods that are not ready yet (1, 2, 4, 8 s).
REST_SECONDS = 20.0


@pytest.fixture(scope="module")
def deployed(user: User) -> Object:
    """A ModelService, applied and waited for with kubectl."""
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": NAME},
        "spec": {**SMALL, "model": {**user.push_adder(1), "version": "7"}},
    }
    user.kubectl.run("apply", "--namespace", user.namespace, "-f", "-", stdin=yaml.safe_dump(manifest))
    user.run_kubectl("wait", "--for=condition=Ready", f"msvc/{NAME}", "--timeout=150s")
    return user.service(NAME)


def test_first_deploy_answers_through_the_service(user: User, deployed: Object) -> None:
    assert user.ask(NAME, 41) == 42
    status = deployed["status"]
    assert status["observedGeneration"] == deployed["metadata"]["generation"]
    assert status["stableRevision"] == status["targetRevision"]
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (1, 1, 1)
    assert status["url"] == f"http://{NAME}.{user.namespace}.svc/v2/models/{NAME}"
    assert status["model"]["sha256"] == deployed["spec"]["model"]["sha256"]
    assert status["model"]["sizeBytes"] > 0
    assert status["traffic"] == [{"revision": status["stableRevision"], "desired": 100, "actual": 100}]


def test_first_deploy_answers_over_grpc(user: User, deployed: Object) -> None:
    values = grpcclient.InferInput("values", [1], "FP32")
    values.set_data_from_numpy(np.array([41], dtype=np.float32))
    host, port = user.address(NAME, port=9000)
    with grpcclient.InferenceServerClient(f"{host}:{port}") as client:
        assert client.is_model_ready(NAME)
        answer = client.infer(NAME, [values], client_timeout=120)
    (output,) = answer.get_response().outputs
    assert answer.as_numpy(output.name).tolist() == [42]
    assert answer.get_response().model_version == "7"


def test_ready_service_fits_kstatus(deployed: Object) -> None:
    """Argo CD, Flux and kubectl read these: Reconciling and Stalled False mean Current."""
    for kind, expected in {
        "Ready": "True",
        "Available": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }.items():
        found = condition(deployed, kind)
        assert found["status"] == expected, found
        assert found["observedGeneration"] == deployed["metadata"]["generation"]


def test_kubectl_get_shows_columns(user: User, deployed: Object) -> None:
    header, row = user.run_kubectl("get", "msvc", NAME).splitlines()
    assert header.split()[:2] == ["NAME", "READY"]
    assert row.split()[:2] == [NAME, "True"]
    wide_header, wide_row = user.run_kubectl("get", "msvc", NAME, "-o", "wide").splitlines()
    assert len(wide_header.split()) > len(header.split())
    assert deployed["spec"]["model"]["storageUri"] in wide_row


def test_pods_meet_pod_security_restricted(user: User, deployed: Object) -> None:
    """The namespace refuses pods that do not; here is what it must not miss."""
    (pod,) = user.pods(NAME).values()
    assert pod["spec"]["automountServiceAccountToken"] is False
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in containers)
    user_id = user.run_kubectl("exec", pod["metadata"]["name"], "-c", "server", "--", "id", "-u")
    assert user_id.strip() == "65532"


@pytest.fixture
def alone(user: User) -> None:
    """Nothing else is left in the cluster that the operator might write to; its counters are everybody's."""
    everywhere = "/apis/modelservice.dev/v1alpha1/modelservices"
    wait_until(
        lambda: (
            {one["metadata"]["namespace"] for one in user.cluster.api.get(everywhere)["items"]}
            == {user.namespace}
        ),
        "the namespaces of earlier tests are empty",
    )


def test_nothing_is_written_at_rest(
    user: User, deployed: Object, alone: None, installation: Installation
) -> None:
    versions, writes = user.versions_at_rest(NAME), installation.metric(WRITES)
    assert len(versions) >= 7, versions
    # The absence of writes takes time to see; there is no condition to wait for.
    time.sleep(REST_SECONDS)
    assert user.versions(NAME) == versions
    assert installation.metric(WRITES) == writes


def test_second_reconcile_writes_nothing(
    user: User, deployed: Object, alone: None, installation: Installation
) -> None:
    versions, writes = user.versions_at_rest(NAME), installation.metric(WRITES)
    reconciles = installation.metric(RECONCILES)
    user.run_kubectl("annotate", "msvc", NAME, "tests.example/cause=any")
    wait_until(lambda: installation.metric(RECONCILES) > reconciles, "the operator reconciles again")
    changed = user.versions(NAME)
    del versions[f"modelservices/{NAME}"], changed[f"modelservices/{NAME}"]
    assert changed == versions
    assert installation.metric(WRITES) == writes
