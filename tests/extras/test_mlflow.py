"""The real MLflow deploys what it logged, by our plugin: in an environment of its own, removed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.fetch.fetch_models import make_model
from tests.integration.fetch.fetch_registries import RegistryServer, RegistryStarter
from tests.support.operator_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    "mlflow-skinny>=3", "kubernetes", "msgspec", "numpy", "onnx", "onnxruntime", "pandas", "pydantic",
    "pyyaml", "rich", "urllib3",
)  # fmt: skip
SAVE = "import sys, onnx, mlflow.onnx; mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2])"
PREDICT = """
from unittest.mock import patch
from mlflow.deployments.cli import predict
answer = lambda name, namespace, rows: {"label": rows["text"].tolist()}
with patch("modelservice_cli.mlflow.plugin.ask", answer):
    predict()
"""
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mlflow") / "env"
    install = (UV, "pip", "install", "-q", "--python", folder)
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run([*install, *PACKAGES], check=True)
    subprocess.run([*install, "--no-deps", ROOT], check=True)
    yield folder / "bin"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    yield from RegistryStarter(tmp_path_factory.mktemp("registry")).run("plain", {}, {})


@pytest.mark.timeout(1200)
def test_mlflow_creates_updates_lists_and_deletes(
    environment: Path, registry, kube, make_operator, installed, tmp_path: Path
) -> None:
    make_operator().start().wait_leading()
    target = f"modelservice://{kube.namespace}"

    def mlflow(*arguments: str, code: int = 0) -> str:
        command = [environment / "mlflow", "deployments", *arguments, "-t", target]
        variables = os.environ | {"KUBECONFIG": str(installed.kubeconfig), "MLFLOW_DISABLE_TELEMETRY": "true"}
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
        assert answer.returncode == code, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    for name, location in (("one", None), ("two", "model.onnx.data")):
        (tmp_path / "model.onnx.data").write_bytes(bytes(16384))
        (tmp_path / f"{name}.onnx").write_bytes(make_model(location))
        subprocess.run(
            [environment / "python", "-c", SAVE, tmp_path / f"{name}.onnx", tmp_path / name], check=True
        )
    where = ("-C", f"registry={registry.name}/models", "-C", "replicas=1")
    assert "complete" in mlflow("create", "--name", "spam", "-m", str(tmp_path / "one"), *where)
    first = kube.service("spam")["spec"]["model"]
    mlflow("update", "--name", "spam", "-m", str(tmp_path / "two"), *where)
    assert kube.service("spam")["spec"]["model"]["storageUri"] != first["storageUri"]
    assert "spam" in mlflow("list")
    found = mlflow("get", "--name", "spam")
    assert "ready: True" in found, json.dumps(found)
    mlflow("delete", "--name", "spam")
    assert kube.items("modelservices") == []
    assert "there is no ModelService" in mlflow("get", "--name", "spam", code=1)


def test_mlflow_writes_what_a_deployment_answers(environment: Path, tmp_path: Path) -> None:
    rows, answers = tmp_path / "rows.json", tmp_path / "answers.json"
    rows.write_text('[{"text": "win money"}, {"text": "see you"}]')
    command = [
        environment / "python",
        "-c",
        PREDICT,
        "-t",
        "modelservice://mail",
        "--name",
        "spam",
        "-I",
        rows,
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    subprocess.run([*command, "-O", answers], check=True)
    wanted = {"predictions": {"label": ["win money", "see you"]}}
    assert json.loads(printed) == json.loads(answers.read_text()) == wanted
