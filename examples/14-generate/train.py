"""Train a small language model on help pages, export it: `python train.py --output DIR`.

Writes DIR/tokenizer.json, report.json and model.onnx. Fails, and writes no model, where ONNX Runtime does not
complete every prompt as torch does.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from translator.pages import PAIRS_SHA256, load_pairs, similarity_key, split_keys
from translator.pieces import END, Vocabulary
from writer.export import OUTPUT, build_onnx
from writer.model import Training, Writer, fit, measure_loss, stack

MOST_READ = 120
_PROMPTS = 60
_CONTINUED = 40  # pieces, where torch and ONNX Runtime are compared
_DTYPES = {"max_tokens": np.int64, "temperature": np.float32, "top_k": np.int64, "seed": np.int64}


class ParityError(Exception):
    """The exported graph does not write what the trained model writes."""


def read_texts(folder: Path) -> tuple[list[str], list[str]]:
    """Return the English texts of the help pages to learn from, and those held out."""
    texts = {similarity_key(pair.english): pair.english for pair in load_pairs(folder) if pair.is_help}
    train, validation, test = split_keys(texts)
    return [texts[key] for key in (*train, *validation)], [texts[key] for key in test]


class Exported:
    """The graph in ONNX Runtime."""

    def __init__(self, model_bytes: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])

    def complete(self, prompts: Sequence[str], **settings: float) -> list[str]:
        """Return what follows prompts; all with the same settings."""
        inputs: dict[str, Any] = {"prompt": np.array(prompts, dtype=object)}
        for name, dtype in _DTYPES.items():
            inputs[name] = np.full(len(prompts), settings[name], dtype)
        return [str(text) for text in self._session.run([OUTPUT], inputs)[0]]


def complete(model: Writer, vocabulary: Vocabulary, prompt: str) -> str:
    """Complete a prompt by torch: each time the piece with the highest score."""
    pieces = model.complete(vocabulary.encode(prompt), _CONTINUED, END)
    text = "".join(vocabulary.texts[piece] for piece in pieces)
    return text if vocabulary.encode_bare(prompt) else text.removeprefix(" ")


def check_parity(model: Writer, vocabulary: Vocabulary, exported: Exported, prompts: Sequence[str]) -> None:
    """Compare torch and ONNX Runtime, and drawn texts in batches and alone. Raises ParityError."""
    expected = [complete(model, vocabulary, prompt) for prompt in prompts]
    greedy = exported.complete(prompts, max_tokens=_CONTINUED, temperature=0, top_k=0, seed=0)
    warm = {"max_tokens": _CONTINUED, "temperature": 1, "top_k": 20, "seed": 5}
    drawn = exported.complete(prompts, **warm)
    for number, prompt in enumerate(prompts):
        if greedy[number] != expected[number]:
            raise ParityError(f"torch follows {prompt!r} by {expected[number]!r}, ONNX by {greedy[number]!r}")
        if exported.complete([prompt], **warm) != [drawn[number]]:
            raise ParityError(f"what follows {prompt!r} depends on the batch")


def measure(model: Writer, vocabulary: Vocabulary, texts: Sequence[str]) -> dict[str, float]:
    """Return the perplexity per piece, and bits per character, of held-out texts."""
    nats, pieces, characters = 0.0, 0, 0
    with torch.no_grad():
        for text in texts:
            ids = [*vocabulary.encode(text), END]
            nats += measure_loss(model, stack([ids]), "sum").item()
            pieces += len(ids) - 1
            characters += len(text) + 1
    return {"perplexity": math.exp(nats / pieces), "bitsPerCharacter": nats / math.log(2) / characters}


def train(texts: Sequence[str], held_out: Sequence[str], training: Training, output: Path) -> dict[str, Any]:
    """Train, measure, export into `output`; returns the report."""
    vocabulary = Vocabulary.learn(texts, training.vocabulary, "<s> $A", MOST_READ)
    tokenizer = output / "tokenizer.json"
    vocabulary.save(tokenizer)
    encoded = [[*vocabulary.encode(text), END] for text in texts]
    model, losses = fit(encoded, training, len(vocabulary), _tell)
    quality = measure(model, vocabulary, held_out)
    metadata = {
        "task": "text generation",
        "data": "help of LibreOffice 7.4.7 (MPL-2.0), Debian 12",
        "data_sha256": PAIRS_SHA256,
        "perplexity": f"{quality['perplexity']:.2f}",
    }
    model_bytes = build_onnx(model, vocabulary, tokenizer, metadata)
    words = [text.split() for text in held_out[:_PROMPTS]]
    prompts = [" ".join(text[: 1 + len(text) // 2]) for text in words]
    check_parity(model, vocabulary, Exported(model_bytes), [*prompts, "", "  ", "日本語 ☃"])
    partial = output / "model.onnx.partial"
    partial.write_bytes(model_bytes)
    partial.replace(output / "model.onnx")
    return {
        "data": {"sha256": PAIRS_SHA256, "texts": len(texts)},
        "training": asdict(training),
        "losses": losses,
        "test": {"texts": len(held_out), **quality},
        "parity": {"prompts": len(prompts) + 3},
        "model": {"sha256": hashlib.sha256(model_bytes).hexdigest(), "sizeBytes": len(model_bytes)},
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "tokenizers")},
    }


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train and export a small language model.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where model and report go")
    parser.add_argument("--data", type=Path, help="directory for Debian's packages; default: DIR/data")
    parser.add_argument("--epochs", type=float, default=Training.epochs, help="default: %(default)s")
    parser.add_argument("--width", type=int, default=Training.width, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=Training.vocabulary, help="default: %(default)s")
    parser.add_argument("--texts", type=int, help="learn from the first so many texts only")
    parser.add_argument("--held-out", type=int, help="measure on the first so many held-out texts only")
    options = parser.parse_args()
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    texts, held_out = read_texts(options.data or output / "data")
    texts, held_out = texts[: options.texts], held_out[: options.held_out]
    training = Training(vocabulary=options.vocabulary, width=options.width, epochs=options.epochs)
    report = train(texts, held_out, training, output)
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"{output / 'model.onnx'}: perplexity {report['test']['perplexity']:.1f} per piece, "
        f"{report['test']['bitsPerCharacter']:.2f} bits per character on {len(held_out)} held-out texts; "
        f"{report['parity']['prompts']} prompts followed as torch does"
    )


if __name__ == "__main__":
    main()
