"""Options of the server, its environment, names and labels, as real pods have them."""

import http.client
import json
from typing import Any

import pytest
from hack.cluster.api import Object
from tests.support.operator_process import wait_until
from tests.support.serving import User, ask_adder

NAME = "options"
MODEL_NAME = "Adder_v2.1"


@pytest.fixture(scope="module")
def deployed(user: User) -> Object:
    """A ModelService that sets what can be set beside its model."""
    secret = {"metadata": {"name": "telemetry"}, "stringData": {"OTEL_RESOURCE_ATTRIBUTES": "team=mail"}}
    user.cluster.api.create(user.path("secrets"), secret)
    spec: dict[str, Any] = {
        "model": {**user.push_adder(3), "name": MODEL_NAME, "samples": {"shapes": [SHAPE]}},
        "server": {
            "maxRequestBytes": "1Ki",
            "maxConnectionAgeSeconds": 1,
            "accessLog": "all",
            "accessLogPayloads": {"mask": ["$.inputs[*].data"]},
        },
        "batching": {"maxBatchSize": 4, "rowsAreIndependent": True},
        "env": [
            {"name": "TZ", "value": "Asia/Tokyo"},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "secretName": "telemetry"},
            {"name": "no_proxy", "value": "10.0.0.0/8"},
        ],
        "childMetadata": {"labels": {"cost-center": "1"}},
        "networkPolicy": {"extraPorts": [15008]},
    }
    user.apply(NAME, **spec)
    return user.wait_ready(NAME)


SHAPE = {"input": "values", "shape": [2]}


def test_model_answers_under_its_name_in_the_protocols(user: User, deployed: Object) -> None:
    assert deployed["status"]["url"].endswith(f"/v2/models/{MODEL_NAME}")
    connection = http.client.HTTPConnection(*user.address(NAME), timeout=120)
    assert ask_adder(connection, MODEL_NAME, 1) == 4
    # Longer than the server was told to take.
    connection.request("POST", f"/v2/models/{MODEL_NAME}/infer", json.dumps({"id": "x" * 2000}))
    assert connection.getresponse().status == http.client.REQUEST_ENTITY_TOO_LARGE
    connection.close()


def test_bodies_in_the_log_of_a_pod_lack_what_is_masked(user: User, deployed: Object) -> None:
    connection = http.client.HTTPConnection(*user.address(NAME), timeout=120)
    assert ask_adder(connection, MODEL_NAME, 41.5) == 44.5
    connection.close()
    (pod,) = user.pods(NAME).values()

    def line() -> str:
        text = user.run_kubectl("logs", pod["metadata"]["name"], "-c", "server")
        return next((one for one in text.splitlines() if '"data": [44.5' in one), "")

    wait_until(lambda: bool(line()), "the answer is in the log")
    assert [one["data"] for one in json.loads(line())["request"]["inputs"]] == ["***"]


def test_environment_reaches_the_container_that_it_is_for(user: User, deployed: Object) -> None:
    (pod,) = user.pods(NAME).values()
    shown = user.run_kubectl("exec", pod["metadata"]["name"], "-c", "server", "--", "env").splitlines()
    assert {"TZ=Asia/Tokyo", "OTEL_RESOURCE_ATTRIBUTES=team=mail"} <= set(shown)
    assert "no_proxy" not in str(shown)
    assert [one["name"] for one in pod["spec"]["initContainers"][0]["env"]] == ["no_proxy"]


def test_headless_service_has_the_addresses_of_the_pods(user: User, deployed: Object) -> None:
    slices = f"{user.path('endpointslices')}?labelSelector=kubernetes.io/service-name={NAME}-pods"
    (pod,) = user.pods(NAME).values()

    def endpoints() -> set[tuple[str, int]]:
        return {
            (address, port["port"])
            for one in user.cluster.api.get(slices)["items"]
            for endpoint in one["endpoints"]
            for address in endpoint["addresses"]
            for port in one["ports"]
        }

    address = pod["status"]["podIP"]
    wait_until(lambda: endpoints() == {(address, 8080), (address, 9000)}, "the pod is in the Service")
    assert user.cluster.api.get(user.path("services", f"{NAME}-pods"))["spec"]["clusterIP"] == "None"


def test_labels_of_children_change_without_a_restart(user: User, deployed: Object) -> None:
    before = set(user.pods(NAME))
    user.edit(
        NAME, {"childMetadata": {"labels": {"cost-center": "2"}}, "networkPolicy": {"mode": "Disabled"}}
    )
    user.wait_ready(NAME)

    for kind in ("deployments", "services"):
        assert {one["metadata"]["labels"]["cost-center"] for one in user.items(kind, name=NAME)} == {"2"}
    assert user.items("networkpolicies", name=NAME) == []
    assert set(user.pods(NAME)) == before
