"""A real pod that asks for a key and a certificate, and whose Secrets change while it runs."""

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.api import Object
from tests.support.operator_process import wait_until
from tests.support.serving import User, condition, is_ready
from tests.unit.runtime.certificates import Authority, client_context

from modelservice_cli.main import main

NAME = "guarded"
AUTHORITY = Authority("mail")
PATIENCE_SECONDS = 120.0


class Client:
    """A client with a certificate, which makes keys too."""

    def __init__(self, user: User, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._user = user
        self._capsys = capsys
        self._context = client_context(AUTHORITY)
        self._context.load_cert_chain(*AUTHORITY.issue("web").write(folder, "web"))

    def new_key(self, name: str) -> str:
        """A key that is in the Secret from now on."""
        flags = ["--kubeconfig", str(self._user.cluster.kubeconfig), "-n", self._user.namespace]
        self._capsys.readouterr()
        assert main(["api-key", "new", name, "--secret", "keys", *flags]) == 0
        return self._capsys.readouterr().out.strip()

    def ask(self, key: str | None, context: ssl.SSLContext | None = None) -> int:
        """The status of an inference; 0 where nodes do not know the way yet."""
        host, port = self._user.address(NAME, 443)
        connection = http.client.HTTPSConnection(host, port, timeout=120, context=context or self._context)
        headers = {} if key is None else {"X-Api-Key": key}
        body = {"inputs": [{"name": "values", "shape": [1], "datatype": "FP32", "data": [1.0625]}]}
        try:
            connection.request("POST", f"/v2/models/{NAME}/infer", json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
            return response.status
        except (ConnectionResetError, ssl.SSLEOFError):
            return 0
        finally:
            connection.close()


def reason_of_ready(service: Object) -> str:
    return str(condition(service, "Ready").get("reason"))


def make_secrets(user: User) -> None:
    pair = AUTHORITY.issue("server")
    files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": AUTHORITY.certificate}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    user.cluster.api.create(
        user.path("secrets"), {"metadata": {"name": "certificate"}, "type": "kubernetes.io/tls", "data": data}
    )


def let_the_kubelet_look(user: User, uid: str) -> None:
    """It brings changed Secrets with each look at a pod: once a minute, and when the pod is changed."""
    pod = user.pods(NAME)[uid]
    path = user.path("pods", pod["metadata"]["name"])
    user.cluster.api.patch(path, {"metadata": {"annotations": {"example.com/look": uid}}})


def test_pod_waits_for_its_secrets_asks_for_keys_and_follows_new_ones(
    user: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Client(user, tmp_path, capsys)
    make_secrets(user)
    spec: dict[str, Any] = {
        "model": user.push_adder(3),
        "auth": {"apiKeys": {"secretName": "keys"}},
        "tls": {"secretName": "certificate", "clientCASecretName": "certificate"},
        "server": {"auditLog": "All"},
    }
    user.apply(NAME, **spec)
    waiting = user.wait(NAME, lambda one: reason_of_ready(one) == "SecretNotFound", "waits for its Secret")
    assert "Secret 'keys' does not exist in this namespace" in str(condition(waiting, "Ready"))

    key = client.new_key("web")
    ready = user.wait_ready(NAME)

    assert ready["status"]["url"] == f"https://{NAME}.{user.namespace}.svc/v2/models/{NAME}"
    wait_until(lambda: client.ask(key) == 200, "the way to the pod is known")
    assert [client.ask(one) for one in (None, "ms_guessed")] == [401, 401]
    assert client.ask(key, client_context(AUTHORITY)) == 401
    ((uid, pod),) = user.pods(NAME).items()

    other = client.new_key("batch")
    let_the_kubelet_look(user, uid)
    wait_until(lambda: client.ask(other) == 200, "the new key is accepted", PATIENCE_SECONDS)

    ((still, after),) = user.pods(NAME).items()
    assert still == uid
    assert [one["restartCount"] for one in after["status"]["containerStatuses"]] == [0]
    assert user.service(NAME)["status"]["stableRevision"] == ready["status"]["stableRevision"]
    lines = user.run_kubectl("logs", pod["metadata"]["name"], "-c", "server").splitlines()
    told = [one for one in map(json.loads, lines) if "audit" in one]
    assert [(one["audit"], one.get("api_key"), one.get("certificate_subject")) for one in told[:4]] == [
        ("allowed", "web", "CN=web"),
        ("denied", None, "CN=web"),
        ("denied", None, "CN=web"),
        ("denied", None, None),
    ]
    assert told[-1]["sha256"] == spec["model"]["sha256"]
    assert "1.0625" not in json.dumps(told)

    user.edit(NAME, {"tls": None})
    open_again = user.wait(NAME, lambda one: is_ready(one) and is_plain(one), "Ready without TLS")
    assert open_again["status"]["stableRevision"] != ready["status"]["stableRevision"]
    ports = user.cluster.api.get(user.path("services", NAME))["spec"]["ports"]
    assert [(one["name"], one["port"], one["appProtocol"]) for one in ports] == [
        ("http", 80, "http"),
        ("grpc", 9000, "kubernetes.io/h2c"),
    ]


def is_plain(service: Object) -> bool:
    return str(service["status"]["url"]).startswith("http://")
