"""Slices of the examples that write texts: trained, exported, and served by the real server."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
# Downloaded once for all runs in this checkout, as the make targets do.
DATA = ROOT / "build" / "examples" / "help-pages"

Train = Callable[..., tuple[dict[str, Any], str]]
Ask = Callable[[str, dict[str, Any]], list[str]]


@pytest.fixture(scope="session")
def train() -> Train:
    """Run an example's train.py; returns its report and what it told while it trained."""

    def run(example: str, output: Path, *arguments: str) -> tuple[dict[str, Any], str]:
        assert TRAIN_PYTHON.exists(), "no training environment: run `make e2e`, which installs it"
        folders = ("pipeline", "examples/13-translator", f"examples/{example}")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in folders)}
        command = [TRAIN_PYTHON, ROOT / "examples" / example / "train.py", "--output", output, "--data", DATA]
        result = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        report: dict[str, Any] = json.loads((output / "report.json").read_text(encoding="utf-8"))
        return report, result.stderr

    return run


_DATATYPES = {"max_tokens": "INT64", "temperature": "FP32", "top_k": "INT64", "seed": "INT64"}


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Ask a served model: the address, and its inputs by their names; returns the texts."""

    def post(url: str, inputs: dict[str, Any]) -> list[str]:
        tensors = [
            {
                "name": name,
                "datatype": _DATATYPES.get(name, "BYTES"),
                "shape": [len(values)],
                "data": values,
            }
            for name, values in inputs.items()
        ]
        request = urllib.request.Request(
            f"{url}/v2/models/classifier/infer", json.dumps({"inputs": tensors}).encode()
        )
        with urllib.request.urlopen(request) as answer:
            (output,) = json.load(answer)["outputs"]
        texts: list[str] = output["data"]
        return texts

    return post
