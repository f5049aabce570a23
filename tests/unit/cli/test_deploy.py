"""What `model deploy` prepares; clusters are asked in tests/integration/operator."""

from pathlib import Path

import pytest
import yaml
from tests.unit.pipeline.package.folders import FILES, write

from modelservice_cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "My Spam_2", FILES)


def deploy(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["model", "deploy", *map(str, arguments), "--dry-run"]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_deploy_names_repository_and_service_after_the_folder(capsys, folder: Path) -> None:
    found = yaml.safe_load(deploy(capsys, folder, "--registry", "r.example/team/"))
    assert found["metadata"] == {"name": "my-spam-2"}
    assert found["spec"]["model"]["storageUri"].startswith("oci://r.example/team/my-spam-2@sha256:")


def test_deploy_of_a_file_is_named_after_it(capsys, folder: Path) -> None:
    found = yaml.safe_load(deploy(capsys, folder / "model.onnx", "--registry", "r.example"))
    assert found["metadata"]["name"] == "model"


def test_deploy_as_image_mounts_it_as_the_cluster_calls_it(capsys, folder: Path) -> None:
    arguments = (folder, "--registry", "localhost:5000", "--as", "image", "--name", "spam", "-n", "mail")
    found = yaml.safe_load(deploy(capsys, *arguments, "--cluster-registry", "10.0.0.1:5000"))
    assert found["metadata"] == {"name": "spam", "namespace": "mail"}
    assert found["spec"]["model"]["storageUri"].startswith("oci://10.0.0.1:5000/spam@sha256:")
    assert found["spec"]["model"]["imageVolume"] == {"path": "models/1/model.onnx"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--registry says where"),
        (("--registry", "r.example", "--name", "Upper"), "--name Upper: expected"),
        (("--registry", "r.example", "--name", "a--b"), "--name a--b: expected"),
        (("--registry", "nowhere"), "names no registry"),
        (("--registry", "r.example", "--replicas", "-1"), "spec.replicas"),
        (("--registry", "r.example", "-n", "Not a namespace"), "metadata.namespace"),
    ],
)
def test_deploy_that_cannot_be_says_why(
    capsys, folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in deploy(capsys, folder, *arguments, code=1)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [("missing.onnx", "there is no file or folder 'missing.onnx'"), (".", "--registry says where")],
)
def test_deploy_says_what_is_wrong_with_the_model_before_it_looks_for_a_cluster(
    monkeypatch, capsys, tmp_path: Path, model: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["model", "deploy", model, "--kubeconfig", "none"]) == 1
    assert sentence in capsys.readouterr().err
