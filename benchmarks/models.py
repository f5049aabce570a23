"""The models that are served, made here; weights are random."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

IMAGE_SHAPE = (1, 3, 224, 224)


def save_models(directory: Path) -> dict[str, Path]:
    """Save all models; their files by name."""
    files = {name: directory / f"{name}.onnx" for name in ("tiny", "mid", "large", "image", "mean")}
    save_mlp(files["tiny"], [4, 8, 3])
    save_mlp(files["mid"], [512, 2048, 2048, 512])
    save_mlp(files["large"], [512, 2560, 2560, 2048, 512])  # 53 MB
    _save_image_model(files["image"], helper.make_node("Identity", ["x"], ["y"]), list(IMAGE_SHAPE))
    _save_image_model(files["mean"], helper.make_node("ReduceMean", ["x"], ["y"]), [1, 1, 1, 1])
    return files


def open_session(path: Path) -> ort.InferenceSession:
    """ONNX Runtime itself, with one thread, as the server uses it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def save_mlp(path: Path, widths: list[int]) -> None:
    """Save layers of these widths with random weights; the input is `x`, the output `y`."""
    random = np.random.default_rng(0)
    weights, nodes, value = [], [], "x"
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        last = number == len(widths) - 2
        scaled = random.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        weights.append(numpy_helper.from_array(scaled.astype(np.float32), f"w{number}"))
        weights.append(numpy_helper.from_array(np.zeros(outputs, np.float32), f"b{number}"))
        result = "y" if last else f"h{number}"
        nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], [result]))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"r{number}"]))
            value = f"r{number}"
    _save(path, nodes, ["n", widths[0]], ["n", widths[-1]], weights)


def _save_image_model(path: Path, node: onnx.NodeProto, output_shape: list[int]) -> None:
    _save(path, [node], list(IMAGE_SHAPE), output_shape, [])


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    input_shape: Sequence[int | str],
    output_shape: Sequence[int | str],
    weights: list[onnx.TensorProto],
) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
