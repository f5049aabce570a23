"""A PyTorch model of two inputs whose lengths vary, by the commands as users give them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.frameworks import TORCH
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.proof.files import read_proof, write_proof
from modelservice_pipeline.proof.proof import Case, Proof

NET = Path(__file__).with_name("net.py")


@pytest.fixture(scope="session", autouse=True)
def environment():
    prepare(TORCH)


def model_command(*arguments):
    command = (sys.executable, "-m", "modelservice_cli.main", "model", *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def test_model_of_two_inputs_is_converted_proven_and_verified(tmp_path):
    inputs = ("--input", "ids=int64[batch,length]<50", "--input", "extra=float32[batch,3]")
    done = model_command(
        "convert", "--from", "torch", f"{NET}:Tagger", *inputs, "--output", tmp_path, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_proven"] == 64 + 1 + 3
    proof = read_proof(tmp_path)
    assert len({case.inputs["ids"].shape[1] for case in proof.cases}) == 3
    model = OnnxModel(tmp_path / "model.onnx")
    answer = model.run({"ids": np.zeros((2, 17), np.int64), "extra": np.zeros((2, 3), np.float32)})
    assert answer["scores"].shape == (2, 4)
    assert answer["hidden"].shape == (2, 17, 12)

    assert model_command("verify", tmp_path).returncode == 0
    other = {name: array + (name == "scores") for name, array in proof.cases[0].outputs.items()}
    write_proof(Proof((Case(proof.cases[0].inputs, other),)), tmp_path)
    refused = model_command("verify", tmp_path)
    assert refused.returncode == 3
    assert "output 'scores' of case 0" in refused.stdout


def test_pickled_module_as_weights_is_told_in_a_sentence(tmp_path):
    code = f"import sys, torch; sys.path.insert(0, {str(NET.parent)!r}); import net; "
    code += f"torch.save(net.Tagger(), {str(tmp_path / 'net.pt')!r})"
    subprocess.run((prepare(TORCH), "-c", code), check=True)
    arguments = ("--state", tmp_path / "net.pt", "--input", "ids=int64[batch,length]<9")
    done = model_command(
        "convert", "--from", "torch", f"{NET}:Tagger", *arguments, "--output", tmp_path / "o"
    )
    assert done.returncode == 1
    assert "net.pt holds other objects than weights" in done.stderr
    assert "\x1b" not in done.stderr


def test_code_that_fails_is_told_with_its_own_sentence(tmp_path):
    done = model_command(
        "convert",
        "--from",
        "torch",
        f"{NET}:broken",
        "--input",
        "x=float32[batch]",
        "--output",
        tmp_path / "o",
    )
    assert done.returncode == 1
    assert "net.py:broken fails: ValueError: no such file" in done.stderr
    assert not (tmp_path / "o").exists()
