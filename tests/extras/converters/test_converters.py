"""Frameworks whose environments are too large for every run: converted and proven by the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.frameworks import FRAMEWORKS

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(3600)  # an environment may have to be made


@pytest.mark.parametrize(
    ("framework", "made_by", "source", "inputs"),
    [
        ("transformers", "transformers", "bert", []),
        ("keras", "keras", "gru.keras", []),
        ("savedmodel", "keras", "saved", []),
        ("paddle", "paddle", "net.json", ["--input", "x=float32[batch,10]"]),
        (
            "mindspore",
            "mindspore",
            f"{HERE}/mindspore_net.py:Net",
            ["--state", "net.ckpt", "--input", "x=float32[batch,1,8,8]"],
        ),
        ("jax", "", f"{HERE}/jax_net.py:predict", ["--input", "x=float32[batch,10]"]),
    ],
)
def test_model_answers_as_its_framework(tmp_path, framework, made_by, source, inputs):
    python = prepare(FRAMEWORKS[framework].environment)
    if made_by:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
        made = (python, HERE / "frameworks.py", made_by)
        subprocess.run(made, cwd=tmp_path, env=environ, check=True, capture_output=True)
    command = (sys.executable, "-m", "modelservice_cli.main", "model", "convert", "--json")
    done = subprocess.run(
        (*command, "--from", framework, source, *inputs, "--output", "out"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_proven"] == 64 + 1 + 3
