"""Train the translator, evaluate it, export it: `python train.py --output DIR`.

Writes DIR/tokenizer.json, weights.pt and progress.json after training, then translations.jsonl, report.json,
report.md and model.onnx. Fails, and writes no model, where torch and ONNX Runtime make different strings of a
single text, or BLEU is below what is promised.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from translator.evaluate import MOST_WRITTEN, measure, render_report, translate
from translator.export import INPUT, OUTPUT, build_onnx
from translator.model import Sizes, Translator
from translator.pages import PAIRS_SHA256, Pair, Split, load_pairs, split_pairs
from translator.pieces import Vocabulary
from translator.training import Progress, Trainer, Training

MINIMUM_BLEU = 20.0
MOST_READ = 150
_TOGETHER = 32
# No help page has these; they have to be answered all the same.
STRANGE = ("", "   ", "日本語 ☃", "Word" * 60, "a\tb\nc", "OK " * 200, "</s> <s>")


class ParityError(Exception):
    """The exported graph does not write what the trained model writes."""


@dataclass(frozen=True)
class Trained:
    """A trained model and what its training showed."""

    model: Translator
    vocabulary: Vocabulary
    progress: list[Progress]


def cut(split: Split, most_pairs: int | None) -> Split:
    """Keep the shortest texts of the training part and a few of the test: a slice to try everything with."""
    if most_pairs is None:
        return split
    several = [pair for pair in split.train if len(pair.english.split()) > 1]
    shortest = sorted(several, key=lambda pair: len(pair.english))
    return replace(split, train=tuple(shortest[:most_pairs]), test=split.test[: most_pairs // 20])


def fit(pairs: Sequence[Pair], training: Training, output: Path) -> None:
    """Learn the pieces, then the model; everything is written into `output`."""
    texts = (text for pair in pairs for text in (pair.english, pair.spanish))
    vocabulary = Vocabulary.learn(texts, training.vocabulary, "$A </s>", MOST_READ)
    encoded = [(vocabulary.encode(pair.english), vocabulary.encode(pair.spanish)) for pair in pairs]
    trainer = Trainer(encoded, training, len(vocabulary))
    progress = trainer.run(_tell)
    vocabulary.save(output / "tokenizer.json")
    torch.save(trainer.model.state_dict(), output / "weights.pt")
    written = json.dumps([asdict(one) for one in progress], indent=1)
    (output / "progress.json").write_text(written + "\n", encoding="utf-8")


def _tell(progress: Progress) -> None:
    print(
        f"step {progress.step} of {progress.steps}: loss {progress.loss:.3f}, "
        f"attention {progress.guidance:.3f}, {progress.cpu_seconds:.0f} s of CPU",
        file=sys.stderr,
        flush=True,
    )


def load(training: Training, output: Path) -> Trained:
    """Read what `fit` wrote."""
    torch.set_num_threads(1)
    vocabulary = Vocabulary.load(output / "tokenizer.json")
    model = Translator(Sizes(len(vocabulary), training.embedding, training.hidden))
    model.load_state_dict(torch.load(output / "weights.pt", weights_only=True))
    model.eval()
    progress = json.loads((output / "progress.json").read_text(encoding="utf-8"))
    return Trained(model, vocabulary, [Progress(**one) for one in progress])


def check_parity(model_bytes: bytes, texts: Sequence[str], expected: Sequence[str]) -> None:
    """Compare torch and ONNX Runtime, in batches and one by one. Raises ParityError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    for together in (_TOGETHER, 1):
        for start in range(0, len(texts), together):
            batch = texts[start : start + together]
            answers = session.run([OUTPUT], {INPUT: np.array(batch, dtype=object)})[0]
            for text, one, other in zip(batch, expected[start:], answers, strict=False):
                if one != other:
                    raise ParityError(f"of {text!r} torch makes {one!r} and ONNX Runtime {other!r}")


def finish(
    trained: Trained, split: Split, training: Training, output: Path
) -> tuple[bytes, dict[str, Any], list[str]]:
    """Measure and export; returns the ONNX file, the report, and the translations of the test part."""
    texts = [pair.english for pair in split.test]
    translations = translate(trained.model, trained.vocabulary, [*texts, *STRANGE])
    quality = measure(split.test, translations[: len(texts)])
    metadata = {
        "task": "translation from English to Spanish",
        "data": "help of LibreOffice 7.4.7 (MPL-2.0), Debian 12",
        "data_sha256": PAIRS_SHA256,
        "test_bleu": f"{quality.bleu:.2f}",
        "training": json.dumps(asdict(training), sort_keys=True),
    }
    tokenizer = output / "tokenizer.json"
    model_bytes = build_onnx(trained.model, trained.vocabulary, tokenizer, MOST_WRITTEN, metadata)
    check_parity(model_bytes, [*texts, *STRANGE], translations)
    packages = ("torch", "onnx", "onnxruntime", "sacrebleu", "tokenizers")
    report = {
        "data": {"sha256": PAIRS_SHA256, "pairs": len(split.train)},
        "training": asdict(training),
        "parameters": sum(weight.numel() for weight in trained.model.parameters()),
        "progress": [asdict(progress) for progress in trained.progress],
        "test": asdict(quality),
        "parity": {"texts": len(translations)},
        "model": {"sha256": hashlib.sha256(model_bytes).hexdigest(), "sizeBytes": len(model_bytes)},
        "versions": {name: version(name) for name in packages},
    }
    return model_bytes, report, translations[: len(texts)]


def write_output(
    output: Path, model_bytes: bytes, report: dict[str, Any], pairs: Sequence[Pair], made: Sequence[str]
) -> None:
    """Write the report and then, by a rename, the model: a model file is always whole and reported."""
    rows = [
        {"text": pair.english, "reference": pair.spanish, "translation": text}
        for pair, text in zip(pairs, made, strict=True)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (output / "translations.jsonl").write_text(lines, encoding="utf-8")
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (output / "report.md").write_text(render_report(report, pairs, made), encoding="utf-8")
    partial = output / "model.onnx.partial"
    partial.write_bytes(model_bytes)
    partial.replace(output / "model.onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, evaluate and export the translator.")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where model and report go")
    parser.add_argument("--data", type=Path, help="directory for Debian's packages; default: DIR/data")
    parser.add_argument("--trained", action="store_true", help="do not train: take what a run left in DIR")
    parser.add_argument("--epochs", type=float, default=Training.epochs, help="default: %(default)s")
    parser.add_argument("--hidden", type=int, default=Training.hidden, help="default: %(default)s")
    parser.add_argument("--vocabulary", type=int, default=Training.vocabulary, help="default: %(default)s")
    parser.add_argument("--pairs", type=int, help="learn from so many of the shortest texts only")
    parser.add_argument("--minimum-bleu", type=float, default=MINIMUM_BLEU, help="default: %(default)s")
    options = parser.parse_args()
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    split = cut(split_pairs(load_pairs(options.data or output / "data")), options.pairs)
    training = Training(vocabulary=options.vocabulary, hidden=options.hidden, epochs=options.epochs)
    if not options.trained:
        fit(split.train, training, output)
    model_bytes, report, translations = finish(load(training, output), split, training, output)
    bleu, chrf = report["test"]["bleu"], report["test"]["chrf"]
    if bleu < options.minimum_bleu:
        raise SystemExit(f"BLEU on the held-out texts is {bleu:.1f}, expected {options.minimum_bleu}")
    write_output(output, model_bytes, report, split.test, translations)
    print(
        f"{output / 'model.onnx'}: BLEU {bleu:.1f}, chrF2 {chrf:.1f} on {len(split.test)} held-out texts; "
        f"{report['parity']['texts']} strings equal to torch's"
    )


if __name__ == "__main__":
    main()
