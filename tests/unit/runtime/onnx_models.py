"""Small ONNX models for tests, made with the onnx package."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str] | None

ONNX_TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32, "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE, "BYTES": TensorProto.STRING,
}  # fmt: skip


def value(name: str, datatype: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX_TYPES[datatype], shape)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray] | None = None,
    domains: Sequence[str] = (),
) -> Path:
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    onnx.save(model, path)
    return path


def save_identity(path: Path, datatype: str = "FP32", shape: Shape = ("n", 4)) -> Path:
    """y = x."""
    return save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", datatype, shape)],
        [value("y", datatype, shape)],
    )


def save_mlp(
    path: Path, width: int = 8, inputs: int = 4, outputs: int = 3, batch: int | str = "batch"
) -> Path:
    """A small network: x FP32 [batch, inputs] -> y FP32 [batch, outputs]."""
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in (
            ("w1", (inputs, width)),
            ("b1", (width,)),
            ("w2", (width, outputs)),
            ("b2", (outputs,)),
        )
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    return save(
        path,
        nodes,
        [value("x", "FP32", [batch, inputs])],
        [value("y", "FP32", [batch, outputs])],
        weights,
    )


def save_two_inputs(path: Path) -> Path:
    """sum = a + b (FP32 [n, 2]), copy = text (BYTES [n])."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Identity", ["text"], ["copy"])]
    inputs = [value("a", "FP32", ["n", 2]), value("b", "FP32", ["n", 2]), value("text", "BYTES", ["n"])]
    return save(path, nodes, inputs, [value("sum", "FP32", ["n", 2]), value("copy", "BYTES", ["n"])])


def save_log(path: Path) -> Path:
    """y = log(x): NaN for negative numbers, -Infinity for 0."""
    return save(
        path,
        [helper.make_node("Log", ["x"], ["y"])],
        [value("x", "FP32", ["n"])],
        [value("y", "FP32", ["n"])],
    )


def save_total(path: Path) -> Path:
    """One number for all rows: looks batchable by its input, and is not."""
    return save(
        path,
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
        [value("x", "FP32", ["n", 4])],
        [value("y", "FP32", [])],
    )


def save_gather(path: Path) -> Path:
    """y = table[x] with a table of 4: larger indices make the run fail."""
    return save(
        path,
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        [value("x", "INT64", ["n"])],
        [value("y", "FP32", ["n"])],
        {"table": np.arange(4, dtype=np.float32)},
    )


def save_pairs(path: Path) -> Path:
    """y = x as two rows: the run fails for an odd number of values."""
    return save(
        path,
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", "FP32", ["n"])],
        [value("y", "FP32", None)],
        {"shape": np.array([2, -1], np.int64)},
    )


def save_expand(path: Path) -> Path:
    """y = zeros(x): the input says how large the output gets."""
    return save(
        path,
        [helper.make_node("ConstantOfShape", ["x"], ["y"])],
        [value("x", "INT64", ["rank"])],
        [value("y", "FP32", None)],
    )


def save_crash(path: Path) -> Path:
    """y = x + (the smallest INT64 / -1), which ONNX Runtime 1.31 computes at load, and x86 cannot."""
    nodes = [
        helper.make_node("Div", ["smallest", "minus_one"], ["quotient"]),
        helper.make_node("Add", ["x", "quotient"], ["y"]),
    ]
    weights = {"smallest": np.array(-(2**63)), "minus_one": np.array(-1)}
    return save(path, nodes, [value("x", "INT64", ["n"])], [value("y", "INT64", ["n"])], weights)


def save_loop(path: Path, least_turns: int = 0) -> Path:
    """A loop of `least_turns` and x more turns of a matrix product: slow for large x."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["go_on"]),
            helper.make_node("MatMul", ["state", "matrix"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [64, 64]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64]),
        ],
    )
    nodes = [
        helper.make_node("Squeeze", ["x"], ["more"]),
        helper.make_node("Add", ["least", "more"], ["turns"]),
        helper.make_node("Loop", ["turns", "true", "start"], ["last"], body=body),
        helper.make_node("ReduceMean", ["last"], ["y"], keepdims=0),
    ]
    weights = {
        "least": np.array(least_turns),
        "true": np.array(True),
        "start": np.ones((64, 64), dtype=np.float32),
        "matrix": np.eye(64, dtype=np.float32),
    }
    return save(path, nodes, [value("x", "INT64", [1])], [value("y", "FP32", [])], weights)
