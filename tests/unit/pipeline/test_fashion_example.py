"""The example that names clothing: its graph computes the network, from the files as the package has them."""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.evaluate.outputs import Reading, read_answers
from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "10-fashion"))

from fashion.data import CLASSES, DataError, get_files
from fashion.export import build_graph

SHAPES = {
    "0.weight": (16, 1, 3, 3), "0.bias": (16,), "3.weight": (32, 16, 3, 3), "3.bias": (32,),
    "7.weight": (96, 1568), "7.bias": (96,), "10.weight": (10, 96), "10.bias": (10,),
}  # fmt: skip


def convolve(pictures, weights, bias):
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    found = np.maximum(np.einsum("nchwij,ocij->nohw", windows, weights) + bias[:, None, None], 0)
    rows, channels, height, width = found.shape
    return found.reshape(rows, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))


def test_graph_computes_the_network_on_files_of_the_package(tmp_path):
    generator = np.random.default_rng(0)
    weights = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in SHAPES.items()}
    onnx.save(build_graph(weights, CLASSES), tmp_path / "model.onnx")
    pictures, labels = generator.integers(0, 256, (5, 28, 28)).astype(np.uint8), bytes([0, 3, 9, 9, 1])
    head = struct.pack(">BBBBIII", 0, 0, 8, 3, 5, 28, 28)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pictures.tobytes()))
    head = struct.pack(">BBBBI", 0, 0, 8, 1, 5)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels))

    predictor = FilePredictor(OnnxModel(tmp_path / "model.onnx"))
    data = load_dataset(tmp_path / "t10k-images-idx3-ubyte.gz", predictor.inputs)
    found = read_answers(predictor.predict(data.inputs), data.labels, Reading(classes=CLASSES))

    hidden = convolve(pictures[:, None] / 255, weights["0.weight"], weights["0.bias"])
    hidden = convolve(hidden, weights["3.weight"], weights["3.bias"]).reshape(5, -1)
    hidden = np.maximum(hidden @ weights["7.weight"].T + weights["7.bias"], 0)
    powers = np.exp(hidden @ weights["10.weight"].T + weights["10.bias"])
    expected = powers / powers.sum(axis=1, keepdims=True)
    best = [CLASSES[number] for number in expected.argmax(axis=1)]
    assert found.answers.predicted.tolist() == best
    assert found.labels.tolist() == ["T-shirt", "dress", "ankle boot", "ankle boot", "trouser"]
    assert np.allclose(predictor.predict(data.inputs)["probabilities"], expected, atol=1e-5)


def test_other_files_than_the_pinned_ones_are_refused(tmp_path):
    folder = tmp_path / "usr/share/datasets/fashion-mnist"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(b"other")
    with pytest.raises(DataError, match=r"has sha256 .*, expected .*: remove it"):
        get_files(tmp_path)
