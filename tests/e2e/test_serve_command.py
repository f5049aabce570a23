"""`modelservice serve`, as a user runs it: the same runtime and the same YAML, without a cluster."""

import hashlib
import http.client
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.support.serve_command import COMMAND, serving
from tests.support.serving import ask_adder
from tests.support.tiny_models import make_adder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file on this machine."""
    file = tmp_path_factory.mktemp("model") / "adder.onnx"
    file.write_bytes(make_adder(1))
    return file


def write_manifest(folder: Path, sha256: str) -> Path:
    """A ModelService as one would apply it; its address is only good inside a cluster."""
    manifest = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "adder"},
        "spec": {
            "model": {"storageUri": "oci://registry.example/models/adder:1", "sha256": sha256},
            "replicas": 2,
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        },
    }
    file = folder / "modelservice.yaml"
    file.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return file


def ask(port: int, name: str, value: float) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        return ask_adder(connection, name, value)
    finally:
        connection.close()


def test_serve_files_answers_for_every_model(model: Path) -> None:
    with serving("--model", f"one={model}", "--model", f"two={model}") as (process, port):
        assert ask(port, "one", 41) == 42
        assert ask(port, "two", 1) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def test_serve_manifest_answers_under_its_name(model: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, hashlib.sha256(model.read_bytes()).hexdigest())
    with serving("-f", manifest, "--model", model) as (process, port):
        assert ask(port, "adder", 41) == 42
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def test_serve_manifest_wrong_digest_is_refused(model: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, "0" * 64)
    refused = subprocess.run(
        [COMMAND, "serve", "-f", manifest, "--model", model],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1
    assert "DigestMismatch" in refused.stderr
