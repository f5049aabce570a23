"""An explainer's real pod asks the model's real pod, within its keys."""

import http.client
import json
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.api import Object
from tests.support.cluster_dns import names_of
from tests.support.operator_process import wait_until
from tests.support.serve_command import COMMAND
from tests.support.serving import READY_TIMEOUT_SECONDS, User
from tests.unit.runtime.certificates import Authority, client_context

from modelservice_runtime.auth.api_keys import api_key_line, new_api_key

NAME = "explained"
EXPLAINER = f"{NAME}-explainer"
KEY = new_api_key()
AUTHORITY = Authority()


@pytest.fixture(scope="module")
def deployed(user: User) -> Object:
    """An adder with API keys and an explainer."""
    line = api_key_line("tests", KEY)
    user.cluster.api.create(
        user.path("secrets"), {"metadata": {"name": "keys"}, "stringData": {"api-keys": line}}
    )
    user.apply(
        NAME,
        model=user.push_adder(3),
        auth={"apiKeys": {"secretName": "keys"}},
        explainer={
            "method": "exact",
            "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "512Mi"}},
        },
    )
    user.wait_ready(NAME)
    return user.wait(
        NAME,
        lambda found: found["status"].get("explainer", {}).get("readyReplicas") == 1,
        "the explainer is ready",
        READY_TIMEOUT_SECONDS,
    )


def ask(user: User, document: Any, *, tls: bool = False, **headers: str) -> tuple[int, Any]:
    """The status and the answer; 0 where a pod of before answered, or nodes do not know the way yet."""
    address = user.address(EXPLAINER, 443 if tls else 80)
    connection = (
        http.client.HTTPSConnection(*address, timeout=60, context=client_context(AUTHORITY))
        if tls
        else http.client.HTTPConnection(*address, timeout=60)
    )
    try:
        connection.request("POST", f"/v1/models/{NAME}:explain", json.dumps(document), headers)
        response = connection.getresponse()
        return response.status, json.load(response)
    except (ConnectionResetError, ssl.SSLError) as error:  # of TLS, while the old pods speak none
        return 0, str(error)
    finally:
        connection.close()


def ask_until_answered(user: User, document: Any, *, tls: bool = False, **headers: str) -> tuple[int, Any]:
    """The first answer of a pod that is as it should be now."""
    answers: list[tuple[int, Any]] = []

    def is_answered() -> int:
        answers.append(ask(user, document, tls=tls, **headers))
        return answers[-1][0]

    wait_until(is_answered, "it answers")
    return answers[-1]


def test_the_explainer_answers_by_asking_the_model_with_the_askers_key(user: User, deployed: Object) -> None:
    address = user.cluster.api.get(user.path("services", NAME))["spec"]["clusterIP"]
    document = {"instances": [5.0], "background": [0.0, 1.0]}
    with names_of(user.cluster, {f"{NAME}.{user.namespace}.svc": address}):
        status, answer = ask_until_answered(user, document, **{"X-Api-Key": KEY})
        assert status == 200, answer
        (explanation,) = answer["explanations"]
        assert explanation["prediction"] == 8
        assert explanation["base"] == 3.5
        assert [feature["weight"] for feature in explanation["features"]] == [4.5]

        status, answer = ask_until_answered(user, document)
        assert status == 401, answer


def test_its_pod_runs_restricted_and_is_none_of_the_models(user: User, deployed: Object) -> None:
    assert len(user.pods(NAME)) == 1
    selector = f"labelSelector=modelservice.dev/explainer={NAME}"
    (pod,) = user.cluster.api.get(f"{user.path('pods')}?{selector}")["items"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    shown = user.run_kubectl("get", "modelservice", NAME, "-o", "jsonpath={.status.explainer.url}")
    assert shown == f"http://{EXPLAINER}.{user.namespace}.svc/v1/models/{NAME}:explain"


def test_the_command_finds_the_model_by_its_name_through_the_api_server(
    user: User, deployed: Object, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("values\n0\n1\n")
    command = [
        *(COMMAND, "model", "explain", NAME, "5.0", "--background", tmp_path / "rows.csv"),
        *("--method", "exact", "--json", "--api-key-env", "MODEL_KEY"),
        *("--namespace", user.namespace, "--kubeconfig", user.cluster.kubeconfig),
    ]
    environment = {**os.environ, "MODEL_KEY": KEY}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 0, found.stderr
    assert [feature["weight"] for feature in json.loads(found.stdout)["features"]] == [4.5]


def test_with_tls_both_speak_it_by_one_certificate_that_no_authority_has_to_vouch_for(
    user: User, deployed: Object
) -> None:
    host = f"{NAME}.{user.namespace}.svc"
    pair = AUTHORITY.issue("server", host)
    certificate = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    secret = {"metadata": {"name": "certificate"}, "type": "kubernetes.io/tls", "stringData": certificate}
    user.cluster.api.create(user.path("secrets"), secret)
    user.edit(NAME, {"tls": {"secretName": "certificate"}})
    user.wait(
        NAME,
        lambda found: str(found["status"].get("explainer", {}).get("url", "")).startswith("https://"),
        "the explainer speaks TLS",
        READY_TIMEOUT_SECONDS,
    )
    document = {"instances": [5.0], "background": [0.0, 1.0]}
    address = user.cluster.api.get(user.path("services", NAME))["spec"]["clusterIP"]
    with names_of(user.cluster, {host: address}):
        wait_until(lambda: ask(user, document, tls=True, **{"X-Api-Key": KEY})[0] == 200, "it explains")
        # The pod of before may still get some of the calls after the new one has got the first.
        status, answer = ask_until_answered(user, document, tls=True)
        assert status == 401, answer
