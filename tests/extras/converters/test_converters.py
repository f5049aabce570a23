"""Frameworks whose environments are too large for every run: converted and proven by the command."""

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.serve_command import serving

from modelservice_pipeline.convert.environments import prepare
from modelservice_pipeline.convert.frameworks import FRAMEWORKS

HERE = Path(__file__).parent
COMMAND = (sys.executable, "-m", "modelservice_cli.main", "model")
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
    if made_by:
        make(made_by, framework, tmp_path)
    assert convert(tmp_path, framework, source, *inputs)["rows_proven"] == 64 + 1 + 3


def make(name: str, framework: str, folder: Path) -> None:
    """Let the framework write its models into a folder."""
    python = prepare(FRAMEWORKS[framework].environment)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    made = (python, HERE / "frameworks.py", name)
    subprocess.run(made, cwd=folder, env=environ, check=True, capture_output=True)


def convert(folder: Path, framework: str, source: str, *flags: str, output: str = "out") -> Any:
    """The report of the command."""
    done = subprocess.run(
        (*COMMAND, "convert", "--json", "--from", framework, source, *flags, "--output", output),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complete(port: int, prompt: list[int], model: str = "m") -> str:
    """The text that the server writes behind a prompt."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    body = {"model": model, "prompt": prompt, "max_tokens": 24, "temperature": 0}
    connection.request("POST", "/v1/completions", json.dumps(body))
    text: str = json.load(connection.getresponse())["choices"][0]["text"]
    connection.close()
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def test_language_models_write_in_the_server_what_transformers_write(tmp_path):
    make("causal", "transformers-causal", tmp_path)
    for name in ("llama", "qwen2"):
        report = convert(tmp_path, "transformers-causal", name, output=f"{name}-fp32")
        assert report["is_proven"]
        assert report["closeness"]["equal_tokens"] == report["closeness"]["tokens"] == 4 * 16
        folder = tmp_path / f"{name}-fp32"
        subprocess.run((*COMMAND, "verify", folder), check=True, capture_output=True)
        wanted = json.loads((tmp_path / f"{name}.json").read_text())
        with serving("--model", f"m={folder}", "--max-context-tokens", "128") as (_, port):
            # A character that is never whole is not told at the end.
            assert complete(port, wanted["prompt"]) == wanted["text"].rstrip("\N{REPLACEMENT CHARACTER}")


def test_adapters_write_in_the_server_what_peft_writes(tmp_path):
    make("causal", "transformers-causal", tmp_path)
    names = ("law", "poet")
    given = [part for name in names for part in ("--adapter", f"{name}=llama-{name}")]
    report = convert(tmp_path, "transformers-causal", "llama", *given)
    assert report["is_proven"]
    for name in names:
        closeness = report["adapters"][name]
        assert closeness["equal_tokens"] == closeness["tokens"] == 4 * 16
    folder = tmp_path / "out"
    subprocess.run((*COMMAND, "verify", folder), check=True, capture_output=True)
    flags = [
        part for name in names for part in ("--adapter", f"m:{name}={folder}/adapters/{name}.onnx_adapter")
    ]
    wanted = {
        name: json.loads((tmp_path / file).read_text())
        for name, file in (("m", "llama.json"), *((name, f"llama-{name}.json") for name in names))
    }
    assert len({one["text"] for one in wanted.values()}) == 3
    with serving("--model", f"m={folder}", *flags, "--max-context-tokens", "128") as (_, port):
        for name, one in wanted.items():
            assert complete(port, one["prompt"], name) == one["text"].rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("precision", ["int4", "int8", "fp16"])
def test_fewer_bits_are_measured_and_not_called_the_same(tmp_path, precision):
    make("causal", "transformers-causal", tmp_path)
    report = convert(
        tmp_path, "transformers-causal", "llama", "--precision", precision, "--adapter", "law=llama-law"
    )
    assert not report["is_proven"]
    assert not (tmp_path / "out/proof.json").exists()
    assert report["closeness"]["mean_divergence"] > 0
    assert report["adapters"]["law"]["mean_divergence"] > 0
    adapter = ("--adapter", f"m:law={tmp_path / 'out/adapters/law.onnx_adapter'}")
    with serving("--model", f"m={tmp_path / 'out'}", *adapter, "--max-context-tokens", "128") as (_, port):
        prompt = json.loads((tmp_path / "llama.json").read_text())["prompt"]
        assert complete(port, prompt)
        assert complete(port, prompt, "law")
