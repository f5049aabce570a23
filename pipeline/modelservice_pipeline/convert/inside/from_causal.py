"""Builds a decoder of a language model, and writes down what transformers make of some prompts themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.convert.inside.builder import builder_command
from modelservice_pipeline.convert.inside.job import (
    ADAPTERS_NAME,
    BUILT_NAME,
    REFERENCE_NAME,
    Converted,
    Job,
    import_or_explain,
)
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Array, Case, Proof

# Several scripts and kinds of text; what a model makes of them does not matter, but that it is the same.
PROMPTS = (
    "The capital of France is",
    "def add(first, second):\n    return",
    "Schöne Grüße \N{EN DASH} 你好, как дела? 🙂",
    '{"name": "Ada", "year": 18',
)
_NEW_TOKENS = 16
_MAX_PROMPT_TOKENS = 64
_NAMES = ("past_key_values.%d.key", "past_key_values.%d.value")
_PRESENT_NAMES = ("present.%d.key", "present.%d.value")


def convert(job: Job) -> Converted:
    """Build it, and run transformers; a case each for a prompt, a token behind it, and all at once.

    With each adapter the same is asked again, and written into a folder of its own. Raises PipelineError.
    """
    adapters: dict[str, str] = job.options.get("adapters", {})
    for package in ("torch", "transformers", "onnxruntime_genai", "onnx_ir", *(["peft"] if adapters else ())):
        import_or_explain(package)
    precision = str(job.options["precision"])
    _build(job, precision)
    prompts = _tokenize(job)
    model = _load(job.source)
    cases = _ask(model, prompts, job.folder)
    for name, folder in adapters.items():
        _ask_adapted(model, Path(folder), prompts, job.folder / ADAPTERS_NAME / name)
    packages = ("transformers", "torch", "onnxruntime-genai", *(["peft"] if adapters else ()))
    return Converted(job.folder / BUILT_NAME, cases, packages)


def _build(job: Job, precision: str) -> None:
    cache = job.folder / "builder-cache"
    command = builder_command(
        sys.executable, job.source, job.folder / BUILT_NAME, precision, cache,
        is_fused=not job.options.get("adapters"),
    )  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    print(text, flush=True)
    if done.returncode:
        lines = [line for line in text.splitlines() if line.strip()] or ["without a word"]
        raise PipelineError(f"onnxruntime-genai's model builder failed: {lines[-1].strip()[:400]}")


def _tokenize(job: Job) -> list[Array]:
    """The prompts as the server would read them. Raises PipelineError."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(job.source / "tokenizer.json"))
    samples = [array for array in job.samples().values() if array.dtype.kind == "O"]
    texts = [str(text) for text in samples[0]] if samples else list(PROMPTS)
    size = json.loads((job.folder / BUILT_NAME / "genai_config.json").read_text())["model"]["vocab_size"]
    found = [np.array(tokenizer.encode(text).ids[:_MAX_PROMPT_TOKENS], np.int64) for text in texts]
    found = [ids for ids in found if ids.size]
    if not found or any(ids.max() >= size for ids in found):
        raise PipelineError(
            f"tokenizer.json is not this model's: it makes no tokens below {size} of the prompts"
        )
    return found


def _load(source: Path) -> Any:
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    try:
        # Nothing is loaded that is code of the folder's own.
        return transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", local_files_only=True,
            trust_remote_code=False,
        ).eval()  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{source.name} cannot be read as a causal language model: {sentence}") from error


def _ask_adapted(model: Any, adapter: Path, prompts: list[Array], folder: Path) -> None:
    """Ask the model with an adapter; afterwards it is without. Raises PipelineError."""
    import peft

    folder.mkdir(parents=True)
    try:
        adapted = peft.PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"adapter {folder.name!r} cannot be read by peft: {sentence}") from error
    write_proof(Proof(tuple(_ask(adapted, prompts, folder))), folder)
    adapted.unload()


def _ask(model: Any, prompts: list[Array], folder: Path) -> list[Case]:
    """Write texts to the prompts, and write down how into a folder."""
    import torch

    cases: list[Case] = []
    arrays = {"count": np.array(len(prompts))}
    with torch.inference_mode():
        for index, prompt in enumerate(prompts):
            tokens, logits, caches = _write_text(model, prompt)
            arrays |= {f"prompt_{index}": prompt, f"tokens_{index}": tokens, f"logits_{index}": logits}
            cases += _make_cases(prompt, tokens, logits, caches)
    np.savez(folder / REFERENCE_NAME, allow_pickle=False, **arrays)
    return cases


def _write_text(model: Any, prompt: Array) -> tuple[Array, Array, list[list[Array]]]:
    """The tokens taken greedily, the scores of each, and the caches after the prompt, a token, and all."""
    import torch

    ids, past, kept = torch.from_numpy(prompt)[None], None, []
    tokens, logits = [], []
    for step in range(_NEW_TOKENS):
        answer = model(input_ids=ids, past_key_values=past, use_cache=True)
        past = answer.past_key_values
        logits.append(answer.logits[0, -1].float().numpy())
        tokens.append(int(logits[-1].argmax()))
        ids = torch.tensor([[tokens[-1]]])
        if step in (0, 1, _NEW_TOKENS - 1):
            kept.append(
                [part.float().numpy().copy() for layer in past.layers for part in (layer.keys, layer.values)]
            )
    return np.array(tokens, np.int64), np.stack(logits), kept


def _make_cases(prompt: Array, tokens: Array, logits: Array, caches: list[list[Array]]) -> list[Case]:
    prompt_cache, next_cache, last_cache = caches
    empty = [cache[:, :, :0] for cache in prompt_cache]
    text = np.concatenate([prompt, tokens[:-1]])
    return [
        _case(prompt, empty, logits[0], prompt_cache),
        _case(tokens[:1], prompt_cache, logits[1], next_cache),
        _case(text, empty, logits[-1], last_cache),
    ]


def _case(ids: Array, past: list[Array], logits: Array, present: list[Array]) -> Case:
    length = past[0].shape[2] + len(ids)
    given = {"input_ids": ids[None], "attention_mask": np.ones((1, length), np.int64)}
    inputs = {**given, **_named(_NAMES, past)}
    return Case(inputs, {"logits": logits[None, None], **_named(_PRESENT_NAMES, present)})


def _named(names: tuple[str, str], caches: list[Array]) -> dict[str, Array]:
    return {names[index % 2] % (index // 2): cache for index, cache in enumerate(caches)}
