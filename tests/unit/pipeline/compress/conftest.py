"""A dense network as exporters write it: Gemm with transposed weights, ReLU, Softmax."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from modelservice_pipeline.compress import quantize

Array = np.ndarray[Any, Any]


def make_network(sizes: tuple[int, ...] = (16, 64, 48, 4), seed: int = 0) -> ModelProto:
    chance = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for index, (rows, units) in enumerate(pairwise(sizes)):
        weight = chance.normal(0, 1 / np.sqrt(rows), (units, rows)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        weights.append(numpy_helper.from_array(chance.normal(0, 0.1, units).astype(np.float32), f"b{index}"))
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"s{index}"], transB=1))
        name = f"s{index}"
        if index < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"r{index}"]))
            name = f"r{index}"
    nodes.append(helper.make_node("Softmax", [name], ["p"], axis=-1))
    return make_model(nodes, [("x", ["n", sizes[0]])], [("p", ["n", sizes[-1]])], weights)


def make_model(
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, list[Any]]],
    outputs: list[tuple[str, list[Any]]],
    weights: list[TensorProto],
    opset: int = 17,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def make_rows(count: int, columns: int = 16) -> Array:
    return np.random.default_rng(1).normal(size=(count, columns)).astype(np.float32)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    onnx.save(make_network(), path)
    return path


@pytest.fixture
def quantizer_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quantizer in this process: another one imports it anew, which takes a second."""

    def here(function: Any, *arguments: Any) -> None:
        quantize._told_as_error(function, arguments)

    monkeypatch.setattr(quantize, "_isolated", here)
