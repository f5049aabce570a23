"""`modelservice model train`: what it prints, and what it asks kubectl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from modelservice_cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = ("--image", "registry.example/torch:2")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "My_Train.py"
    path.write_text("print(1)\n")
    return path


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a kubectl on PATH that answers with a text, and keeps what it is given."""

    def install(answer: str, code: int = 0) -> Path:
        program, given = tmp_path / "kubectl", tmp_path / "given"
        program.write_text(f"#!/bin/sh\ncat > {given}\necho '{answer}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return given

    return install


def train(script: Path, *arguments: str) -> int:
    return main(["model", "train", *IMAGE, *arguments, str(script), "--epochs", "3"])


def test_train_prints_a_service_and_a_job(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(script, "--nodes", "2", "--as", "job", "--cpu", "2") == 0

    service, job = yaml.safe_load_all(capsys.readouterr().out)
    assert (service["kind"], job["kind"], job["metadata"]["name"]) == ("Service", "Job", "my-train")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (container["args"], container["resources"]["limits"]) == (["--epochs", "3"], {"cpu": "2"})


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ('{"groupVersion": "trainer.kubeflow.org/v1alpha1"}', ["TrainJob"]),
        ('{"groupVersion": "batch/v1"}', ["Service", "Job"]),
    ],
)
def test_train_takes_what_the_cluster_serves(
    script: Path, kubectl: Any, capsys: pytest.CaptureFixture[str], answer: str, kinds: list[str]
) -> None:
    kubectl(answer)

    assert train(script) == 0
    assert [one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)] == kinds


def test_train_with_a_claim_asks_nobody(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(script, "--claim", "checkpoints") == 0
    assert [one["kind"] for one in yaml.safe_load_all(capsys.readouterr().out)] == ["Service", "Job"]


def test_train_applies_by_kubectl(script: Path, kubectl: Any, capsys: pytest.CaptureFixture[str]) -> None:
    given = kubectl("job.batch/my-train created")

    assert train(script, "--as", "job", "--apply") == 0
    assert capsys.readouterr().out == "job.batch/my-train created\n"
    assert [one["kind"] for one in yaml.safe_load_all(given.read_text())] == ["Service", "Job"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--as", "job", "--env", "A"), "--env A: is not NAME=VALUE"),
        (("--as", "trainjob", "--claim", "c"), "ClusterTrainingRuntime"),
        (("--as", "job", "--nodes", "0"), "1 to 1000 nodes"),
        ((), "cannot be asked what it serves: no cluster; say --as job"),
        (("--as", "job", "--apply"), "kubectl apply failed: no cluster"),
    ],
)
def test_train_says_what_is_wrong(
    script: Path, kubectl: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    kubectl("no cluster", code=1)

    assert train(script, *arguments) == 1
    assert said in capsys.readouterr().err
