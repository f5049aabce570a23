"""`modelservice model deploy` as a user runs it: a real registry, a real API server, the operator."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.integration.fetch.fetch_models import make_model
from tests.integration.fetch.fetch_registries import RegistryServer, RegistryStarter

from modelservice_cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hack.cluster.cluster import Cluster

MODEL = make_model()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    yield from RegistryStarter(tmp_path_factory.mktemp("registry")).run("plain", {}, {})


class Deploys:
    """Runs `model deploy` in one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._flags = ("--kubeconfig", str(kubeconfig), "-n", namespace)
        self._capsys = capsys

    def run(self, *arguments: object, code: int = 0) -> str:
        self._capsys.readouterr()
        found = main(["model", "deploy", *map(str, arguments), *self._flags])
        captured = self._capsys.readouterr()
        assert found == code, captured
        return captured.out + captured.err


@pytest.fixture
def deploys(shared, installed: Cluster, capsys: pytest.CaptureFixture[str]) -> Deploys:
    return Deploys(installed.kubeconfig, shared.kube.namespace, capsys)


def write(folder: Path, text: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(MODEL)
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n{text}")
    return folder


def model_of(shared: Any, name: str) -> dict[str, str]:
    found: dict[str, str] = shared.kube.service(name)["spec"]["model"]
    return found


def test_deploy_serves_a_folder_and_its_next_version(shared, deploys, registry, tmp_path: Path) -> None:
    folder, where = write(tmp_path / "Deployed_Spam"), f"{registry.name}/models"
    lines = deploys.run(folder, "--registry", where, "--replicas", 2).splitlines()
    assert any(line.startswith("deployed-spam: complete;") for line in lines), lines
    assert any(line.startswith("it answers at http://deployed-spam.") for line in lines), lines
    first = model_of(shared, "deployed-spam")
    assert first["sha256"] == hashlib.sha256(MODEL).hexdigest()
    assert first["storageUri"].startswith(f"oci://{where}/deployed-spam@sha256:")
    generation = shared.kube.service("deployed-spam")["metadata"]["generation"]
    deploys.run(folder, "--registry", where, "--replicas", 2)
    assert shared.kube.service("deployed-spam")["metadata"]["generation"] == generation
    deploys.run(write(folder, "changed"), "--registry", where, "--replicas", 2)
    assert model_of(shared, "deployed-spam")["storageUri"] != first["storageUri"]
    # What is there already is served from there.
    uri = first["storageUri"].removeprefix("oci://")
    deploys.run(uri, "--name", "deployed-spam", "--replicas", 2)
    assert model_of(shared, "deployed-spam") == first


def test_deploy_leaves_what_others_applied_until_it_is_forced(shared, deploys, registry, tmp_path) -> None:
    shared.kube.apply_service("theirs", replicas=1)
    before = model_of(shared, "theirs")
    arguments = (write(tmp_path / "theirs"), "--registry", f"{registry.name}/models")
    said = deploys.run(*arguments, code=1)
    assert "--force-conflicts" in said
    assert "storageUri" in said
    assert model_of(shared, "theirs") == before
    deploys.run(*arguments, "--force-conflicts", "--no-wait")
    assert model_of(shared, "theirs") != before


def test_deploy_into_no_namespace_says_so(installed, registry, tmp_path: Path, capsys) -> None:
    deploys = Deploys(installed.kubeconfig, "nowhere", capsys)
    said = deploys.run(write(tmp_path / "spam"), "--registry", f"{registry.name}/models", code=1)
    assert "there is no namespace 'nowhere'" in said


def test_deploy_writes_for_git_and_applies_nothing(shared, deploys, registry, tmp_path: Path) -> None:
    target = tmp_path / "git.yaml"
    arguments = (write(tmp_path / "for-git"), "--registry", f"{registry.name}/models")
    printed = yaml.safe_load(deploys.run(*arguments, "--dry-run"))
    deploys.run(*arguments, "--output-yaml", target)
    assert yaml.safe_load(target.read_text()) == printed
    assert printed["metadata"] == {"name": "for-git", "namespace": shared.kube.namespace}
    assert "for-git" not in [one["metadata"]["name"] for one in shared.kube.items("modelservices")]
