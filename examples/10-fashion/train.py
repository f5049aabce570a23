"""Trains the picture classifier; writes the model and a report: `python train.py --output DIR --data DIR`."""

import argparse
import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from fashion.data import CLASSES, FILES, PACKAGE, DataError, get_files
from fashion.export import build_graph
from fashion.model import train

from modelservice_pipeline.data.binary_files import read_idx
from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.evaluate.metrics import METRICS
from modelservice_pipeline.evaluate.outputs import Reading, read_answers
from modelservice_pipeline.evaluate.resampling import bootstrap_interval
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor

_LARGEST_DIFFERENCE = 1e-4
"""Of a probability, between the graph and torch."""


def main() -> int:
    """Train, export, compare, evaluate; returns 1 where a requirement is missed."""
    arguments = _parse_arguments()
    try:
        files = get_files(arguments.data)
    except DataError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    images, labels = (_read(files / f"train-{name}-ubyte.gz") for name in ("images-idx3", "labels-idx1"))
    kept = slice(arguments.images)
    losses: list[float] = []

    def tell(epoch: int, loss: float) -> None:
        losses.append(loss)
        print(f"epoch {epoch}: loss {loss:.4f}", file=sys.stderr, flush=True)

    network = train(images[kept], labels[kept], arguments.epochs, len(CLASSES), tell)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "model.onnx"
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    onnx.save(build_graph(weights, CLASSES), path)

    predictor = FilePredictor(OnnxModel(path))
    test = load_dataset(files / "t10k-images-idx3-ubyte.gz", predictor.inputs)
    assert test.labels is not None
    outputs = predictor.predict(test.inputs)
    with torch.no_grad():
        scaled = torch.from_numpy(test.inputs["image"]).unsqueeze(1).float() / 255
        difference = float(np.abs(network(scaled).softmax(1).numpy() - outputs["probabilities"]).max())
    found = read_answers(outputs, test.labels, Reading(classes=CLASSES))
    accuracy = bootstrap_interval(METRICS["accuracy"], found.labels, found.answers)
    report = {
        "task": "image-classification",
        "data": {"package": PACKAGE, "sha256": FILES},
        "losses": losses,
        "accuracy": {"value": accuracy.value, "from": accuracy.low, "to": accuracy.high},
        "largest_difference": difference,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    (arguments.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"accuracy {accuracy.value:.4f} of {len(test)} pictures")
    if accuracy.value < arguments.minimum_accuracy or difference > _LARGEST_DIFFERENCE:
        print(f"train: not good enough; the difference to torch is {difference:.1e}", file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="where to write")
    parser.add_argument("--data", type=Path, required=True, help="where the package is kept")
    parser.add_argument("--epochs", type=int, default=6, help="how often every picture is seen")
    parser.add_argument("--images", type=int, help="learn from so many only")
    parser.add_argument("--minimum-accuracy", type=float, default=0.9, help="fail below it")
    return parser.parse_args()


def _read(path: Path) -> np.ndarray:
    return read_idx(path, gzip.decompress(path.read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
