"""ONNX models that behave like those of TensorFlow Serving's documentation."""

from pathlib import Path

import numpy as np
from onnx import helper
from tests.unit.runtime.onnx_models import save, value


def save_half_plus_three(path: Path) -> Path:
    """y = x / 2 + 3."""
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "three"], ["y"])]
    weights = {"half": np.array(0.5, np.float32), "three": np.array(3, np.float32)}
    return save(path, nodes, [value("x", "FP32", ["n"])], [value("y", "FP32", ["n"])], weights)


def save_sensors(path: Path) -> Path:
    """The documentation's three inputs (tag, signal, sensor), each passed on under another name."""
    shapes = {"tag": ("BYTES", ["n"]), "signal": ("INT64", ["n", 5]), "sensor": ("FP32", ["n", 2, 2])}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in shapes]
    inputs = [value(name, *shape) for name, shape in shapes.items()]
    return save(path, nodes, inputs, [value(f"{name}_out", *shape) for name, shape in shapes.items()])


def save_classifier(path: Path) -> Path:
    """scores = x as [n, 2]; classes = the labels "ham" and "spam" for every row."""
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["labels", "shape"], ["classes"]),
    ]
    return save(
        path,
        nodes,
        [value("x", "FP32", ["n", 2])],
        [value("scores", "FP32", ["n", 2]), value("classes", "BYTES", ["n", 2])],
        {"labels": np.array(["ham", "spam"], dtype=object)},
    )


def save_image_bytes(path: Path) -> Path:
    """image_bytes = image, caption_out = caption: binary and readable strings."""
    nodes = [
        helper.make_node("Identity", ["image"], ["image_bytes"]),
        helper.make_node("Identity", ["caption"], ["caption_out"]),
    ]
    inputs = [value("image", "BYTES", ["n"]), value("caption", "BYTES", ["n"])]
    return save(
        path, nodes, inputs, [value("image_bytes", "BYTES", ["n"]), value("caption_out", "BYTES", ["n"])]
    )
