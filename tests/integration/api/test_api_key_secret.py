"""`modelservice api-key` on Secrets of a real API server."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

import pytest

from modelservice_cli.main import main
from modelservice_runtime.auth.api_keys import ApiKeys, parse_api_keys

if TYPE_CHECKING:
    from hack.cluster.cluster import Cluster

OTHER = {"tls.crt": "Y2VydA==", "other": "b3RoZXI="}


class Secrets:
    """The commands in one namespace, and what they wrote."""

    def __init__(self, cluster: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self._capsys = capsys

    def run(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        self._capsys.readouterr()
        flags = ("--kubeconfig", str(self._cluster.kubeconfig), "-n", self.namespace)
        assert main(["api-key", *arguments, *flags]) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def read(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._cluster.api.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name}")
        return found

    def keys(self, name: str) -> ApiKeys:
        return parse_api_keys(base64.b64decode(self.read(name)["data"]["api-keys"]).decode())


@pytest.fixture
def secrets(control_plane: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> Secrets:
    return Secrets(control_plane, namespace, capsys)


def test_new_makes_a_secret_and_later_keys_are_added(secrets: Secrets) -> None:
    keys = [secrets.run("new", name, "--secret", "keys")[0].strip() for name in ("alice", "bob")]

    assert [secrets.keys("keys").find(key.encode()) for key in keys] == ["alice", "bob"]
    listed, _ = secrets.run("list", "--secret", "keys")
    assert [line.split()[0] for line in listed.splitlines()] == ["alice", "bob"]
    secrets.run("revoke", "alice", "--secret", "keys")
    assert list(secrets.keys("keys").digests) == ["bob"]
    _, said = secrets.run("new", "bob", "--secret", "keys", code=1)
    assert "has a key of 'bob' already" in said


def test_new_leaves_everything_else_of_a_secret_as_it_is(secrets: Secrets, control_plane: Cluster) -> None:
    metadata = {
        "name": "all",
        "namespace": secrets.namespace,
        "labels": {"team": "mail"},
        "annotations": {"a": "b"},
        "finalizers": ["example.com/kept"],
    }
    made = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "example.com/own",
        "metadata": metadata,
        "data": OTHER,
    }
    control_plane.api.apply(made)
    before = secrets.read("all")

    secrets.run("new", "alice", "--secret", "all")

    after = secrets.read("all")
    assert {name: after["data"][name] for name in OTHER} == OTHER
    assert after["type"] == "example.com/own"
    changing = ("resourceVersion", "managedFields")
    assert {name: value for name, value in after["metadata"].items() if name not in changing} == {
        name: value for name, value in before["metadata"].items() if name not in changing
    }
    control_plane.api.patch(
        f"/api/v1/namespaces/{secrets.namespace}/secrets/all", {"metadata": {"finalizers": None}}
    )


def test_keys_that_are_made_at_once_all_arrive(secrets: Secrets, control_plane: Cluster) -> None:
    flags = ["--secret", "keys", "--kubeconfig", str(control_plane.kubeconfig), "-n", secrets.namespace]
    codes: list[int] = []

    def make(name: str) -> None:
        codes.append(main(["api-key", "new", name, *flags]))

    threads = [threading.Thread(target=make, args=(f"client-{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert codes == [0] * 6
    assert sorted(secrets.keys("keys").digests) == [f"client-{number}" for number in range(6)]


def test_what_cannot_be_done_is_one_sentence(secrets: Secrets, control_plane: Cluster) -> None:
    assert "has no keys" in secrets.run("list", "--secret", "absent", code=1)[1]
    assert "has no key of 'bob'" in secrets.run("revoke", "bob", "--secret", "absent", code=1)[1]
    metadata = {"name": "fixed", "namespace": secrets.namespace}
    control_plane.api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "immutable": True})
    assert "immutable" in secrets.run("new", "bob", "--secret", "fixed", code=1)[1]
    out, said = secrets.run("new", "bob", "--secret", "NoName", code=1)
    assert out == ""
    assert "NoName" in said
