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
    BUILT_NAME,
    REFERENCE_NAME,
    Converted,
    Job,
    import_or_explain,
)
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array, Case

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

    Raises PipelineError.
    """
    for package in ("torch", "transformers", "onnxruntime_genai", "onnx_ir"):
        import_or_explain(package)
    precision = str(job.options["precision"])
    _build(job, precision)
    prompts = _tokenize(job)
    cases, arrays = _ask(job.source, prompts)
    arrays["count"] = np.array(len(prompts))
    np.savez(job.folder / REFERENCE_NAME, allow_pickle=False, **arrays)
    packages = ("transformers", "torch", "onnxruntime-genai")
    return Converted(job.folder / BUILT_NAME, cases, packages)


def _build(job: Job, precision: str) -> None:
    cache = job.folder / "builder-cache"
    command = builder_command(sys.executable, job.source, job.folder / BUILT_NAME, precision, cache)
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


def _ask(source: Path, prompts: list[Array]) -> tuple[list[Case], dict[str, Array]]:
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    try:
        # Nothing is loaded that is code of the folder's own.
        model = transformers.AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", local_files_only=True,
            trust_remote_code=False,
        ).eval()  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        sentence = " ".join(str(error).split())[:400]
        raise PipelineError(f"{source.name} cannot be read as a causal language model: {sentence}") from error
    cases: list[Case] = []
    arrays: dict[str, Array] = {}
    with torch.inference_mode():
        for index, prompt in enumerate(prompts):
            tokens, logits, caches = _write_text(model, prompt)
            arrays |= {f"prompt_{index}": prompt, f"tokens_{index}": tokens, f"logits_{index}": logits}
            cases += _make_cases(prompt, tokens, logits, caches)
    return cases, arrays


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
