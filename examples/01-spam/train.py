"""Train the spam classifier, evaluate it, export it: `python train.py --output DIR`.

Writes DIR/model.onnx, DIR/report.json and DIR/report.md. Fails, and writes no model, when the exported
graph disagrees with torch on the test messages or F1 is below what this example promises.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from spam.data import (
    DATA_SHA256,
    LABELS,
    Message,
    Split,
    drop_near_duplicates,
    parse_messages,
    read_package_file,
    split_messages,
)
from spam.evaluate import choose_threshold, compute_metrics, render_report
from spam.export import PARITY_TOLERANCE, Predictions, TrainedModel, build_onnx, compute_parity
from spam.model import NORM_EPSILON, SpamClassifier, Training, build_examples, fit, predict_probability
from spam.text import build_vocabulary, count_features

MINIMUM_F1 = 0.90


@dataclass(frozen=True)
class Part:
    """One part of the data as texts, features float32 [N, features] and truth [N]."""

    texts: list[str]
    counts: npt.NDArray[np.float32]
    is_spam: npt.NDArray[np.bool_]


def build_part(messages: Sequence[Message], vocabulary: Sequence[str]) -> Part:
    texts = [message.text for message in messages]
    is_spam = np.array([message.is_spam for message in messages], dtype=np.bool_)
    return Part(texts, count_features(texts, vocabulary), is_spam)


def to_trained_model(model: SpamClassifier, vocabulary: Sequence[str], threshold: float) -> TrainedModel:
    return TrainedModel(
        vocabulary=tuple(vocabulary),
        hidden_weight=model.hidden.weight.detach().numpy(),
        hidden_bias=model.hidden.bias.detach().numpy(),
        output_weight=model.output.weight.detach().numpy(),
        output_bias=model.output.bias.detach().numpy(),
        threshold=threshold,
        norm_epsilon=NORM_EPSILON,
    )


def predict_with_onnx(model_bytes: bytes, texts: Sequence[str]) -> Predictions:
    session = ort.InferenceSession(model_bytes, providers=["CPUExecutionProvider"])
    labels, probability = session.run(["label", "probability"], {"text": np.array(texts, dtype=object)})
    return Predictions([str(label) for label in labels], probability)


def check_parity(model: SpamClassifier, model_bytes: bytes, test: Part, threshold: float) -> float:
    """Compare torch and ONNX Runtime on the whole test part; returns the largest difference."""
    probability = predict_probability(model, test.counts)
    labels = [LABELS[int(value >= np.float32(threshold))] for value in probability]
    return compute_parity(Predictions(labels, probability), predict_with_onnx(model_bytes, test.texts))


def describe_data(messages: Sequence[Message], split: Split) -> dict[str, Any]:
    counts = {}
    for name in ("train", "validation", "test"):
        part: Sequence[Message] = getattr(split, name)
        spam = sum(message.is_spam for message in part)
        counts[name] = {"ham": len(part) - spam, "spam": spam}
    return {
        "name": "SMS Spam Collection (Almeida and Hidalgo, UCI, doi:10.24432/C5CC84, CC BY 4.0)",
        "sha256": DATA_SHA256,
        "messages": len(messages),
        "distinct": len(split.train) + len(split.validation) + len(split.test),
        "counts": counts,
    }


def build_metadata(data: dict[str, Any], training: Training, threshold: float, f1: float) -> dict[str, str]:
    return {
        "task": "spam classification of English text messages",
        "data": data["name"],
        "data_sha256": data["sha256"],
        "threshold": f"{threshold:.9g}",
        "test_f1": f"{f1:.4f}",
        "training": json.dumps(asdict(training), sort_keys=True),
        "torch": version("torch"),
        "onnx": version("onnx"),
    }


@dataclass(frozen=True)
class Prepared:
    """The data as the training sees it, and what the report says about them."""

    vocabulary: list[str]
    train: Part
    validation: Part
    test: Part
    description: dict[str, Any]


def prepare(minimum_messages: int) -> Prepared:
    """Read, clean and split the data; only the train part shapes the vocabulary."""
    messages = parse_messages(read_package_file())
    split = split_messages(drop_near_duplicates(messages))
    vocabulary = build_vocabulary([message.text for message in split.train], minimum_messages)
    return Prepared(
        vocabulary,
        train=build_part(split.train, vocabulary),
        validation=build_part(split.validation, vocabulary),
        test=build_part(split.test, vocabulary),
        description=describe_data(messages, split),
    )


def train(training: Training) -> tuple[bytes, dict[str, Any]]:
    """Run everything in memory; returns the ONNX file and the report."""
    started = time.monotonic()
    data = prepare(training.minimum_messages)
    model, best_epoch = fit(
        build_examples(data.train.counts, data.train.is_spam),
        build_examples(data.validation.counts, data.validation.is_spam),
        training,
    )
    chosen = predict_probability(model, data.validation.counts)
    threshold = choose_threshold(chosen, data.validation.is_spam)
    metrics = compute_metrics(predict_probability(model, data.test.counts), data.test.is_spam, threshold)
    metadata = build_metadata(data.description, training, threshold, metrics["f1"])
    model_bytes = build_onnx(to_trained_model(model, data.vocabulary, threshold), metadata)
    difference = check_parity(model, model_bytes, data.test, threshold)
    return model_bytes, {
        "data": data.description,
        "training": asdict(training),
        "bestEpoch": best_epoch,
        "vocabulary": len(data.vocabulary),
        "threshold": threshold,
        "validation": compute_metrics(chosen, data.validation.is_spam, threshold),
        "test": metrics,
        "parity": {
            "messages": len(data.test.texts),
            "maxDifference": difference,
            "tolerance": PARITY_TOLERANCE,
        },
        "model": {"sha256": hashlib.sha256(model_bytes).hexdigest(), "sizeBytes": len(model_bytes)},
        "versions": {name: version(name) for name in ("torch", "onnx", "onnxruntime", "numpy")},
        "trainingSeconds": round(time.monotonic() - started, 1),
    }


def write_output(output: Path, model_bytes: bytes, report: dict[str, Any]) -> None:
    """Write the report and then, by a rename, the model: a model file is always whole and reported."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (output / "report.md").write_text(render_report(report), encoding="utf-8")
    partial = output / "model.onnx.partial"
    partial.write_bytes(model_bytes)
    partial.replace(output / "model.onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, evaluate and export the spam classifier.")
    parser.add_argument("--output", type=Path, required=True, help="directory for the model and its report")
    parser.add_argument("--epochs", type=int, default=Training.epochs, help="default: %(default)s")
    parser.add_argument("--minimum-f1", type=float, default=MINIMUM_F1, help="default: %(default)s")
    options = parser.parse_args()
    output: Path = options.output
    model_bytes, report = train(Training(epochs=options.epochs))
    f1 = report["test"]["f1"]
    if f1 < options.minimum_f1:
        raise SystemExit(f"F1 on the test messages is {f1}, expected at least {options.minimum_f1}")
    write_output(output, model_bytes, report)
    print(
        f"{output / 'model.onnx'}: F1 {report['test']['f1']:.4f} on {report['parity']['messages']} held-out "
        f"messages, trained in {report['trainingSeconds']} s"
    )


if __name__ == "__main__":
    main()
