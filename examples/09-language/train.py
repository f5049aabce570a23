"""Trains the language classifier; writes model, test file and report: `python train.py --output DIR`."""

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from language.data import SHA256, DataError, Sentence, load_sentences, split
from language.export import build_graph
from language.model import predict, train

from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.metrics import METRICS
from modelservice_pipeline.evaluate.resampling import bootstrap_interval
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor

_LARGEST_DIFFERENCE = 1e-5
"""Of a probability, between the graph and plain NumPy."""


def main() -> int:
    """Train, export, compare, evaluate; returns 1 where a requirement is missed."""
    arguments = _parse_arguments()
    try:
        sentences = load_sentences(arguments.data)
    except DataError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    learnt, held_out = split(sentences, test_share=0.19)
    if arguments.sentences:
        learnt = learnt[:: max(1, len(learnt) // arguments.sentences)]
    # Each also in capitals: else the model would not know them.
    learnt_texts = [text for one in learnt for text in (one.text, one.text.upper())]
    model = train(learnt_texts, [one.language for one in learnt for _ in range(2)])
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "model.onnx"
    onnx.save(build_graph(model), path)
    _write_rows(arguments.output / "test.csv", held_out)

    texts = [one.text for one in held_out]
    outputs = FilePredictor(OnnxModel(path)).predict({"text": np.array(texts, object)})
    difference = float(np.abs(outputs["probabilities"] - predict(model, texts)).max())
    report = _describe(path, learnt, held_out, outputs) | {"largest_difference": difference}
    (arguments.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    f1 = report["f1_macro"]["value"]
    print(f"{len(learnt)} sentences learnt; macro F1 {f1:.4f} of {len(held_out)} others")
    if difference > _LARGEST_DIFFERENCE or f1 < arguments.minimum_f1:
        print(
            f"train: macro F1 {f1:.4f}, difference to NumPy {difference:.1e}: not good enough",
            file=sys.stderr,
        )
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="where to write")
    parser.add_argument("--data", type=Path, required=True, help="where the package is kept")
    parser.add_argument("--sentences", type=int, help="learn from about so many only")
    parser.add_argument("--minimum-f1", type=float, default=0.92, help="fail below it")
    return parser.parse_args()


def _write_rows(path: Path, sentences: Sequence[Sentence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "language", "message"))
        writer.writerows((one.text, one.language, one.message) for one in sentences)


def _describe(
    path: Path, learnt: Sequence[Sentence], held_out: Sequence[Sentence], outputs: dict[str, Any]
) -> dict[str, Any]:
    labels = np.array([one.language for one in held_out], object)
    interval = bootstrap_interval(METRICS["f1_macro"], labels, Answers(outputs["language"]))
    content = path.read_bytes()
    return {
        "task": "text-classification",
        "data": {"package": "django", "sha256": SHA256},
        "learnt": len(learnt),
        "held_out": len(held_out),
        "f1_macro": {"value": interval.value, "from": interval.low, "to": interval.high},
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


if __name__ == "__main__":
    sys.exit(main())
