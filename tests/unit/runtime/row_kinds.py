"""Small models by what their rows have to do with each other: MIXING ones, and INDEPENDENT ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from tests.unit.runtime import onnx_models
from tests.unit.runtime.onnx_models import Shape

Array = np.ndarray
node = helper.make_node


def i64(*values: int) -> Array:
    return np.array(values, np.int64)


def f32(*values: float) -> Array:
    return np.array(values, np.float32)


@dataclass
class Kind:
    """A model of one input, "x", and what two callers send, who have nothing in common."""

    nodes: Sequence[onnx.NodeProto]
    shape: Shape
    outputs: dict[str, tuple[str, Shape]]
    weights: dict[str, Array] = field(default_factory=dict)
    datatype: str = "FP32"
    small: Array = field(default_factory=lambda: f32(0.1, 0.2).reshape(1, 2))
    large: Array = field(default_factory=lambda: f32(900, -5).reshape(1, 2))
    domains: Sequence[str] = ()

    def save(self, path: Path) -> Path:
        return onnx_models.save(
            path,
            self.nodes,
            [onnx_models.value("x", self.datatype, self.shape)],
            [onnx_models.value(name, *output) for name, output in self.outputs.items()],
            self.weights,
            self.domains,
        )


def over_rows(operator: str, **attributes: object) -> Kind:
    return Kind([node(operator, ["x"], ["y"], **attributes)], ["n", 2], {"y": ("FP32", ["n", 2])})


def over_batch(*nodes: onnx.NodeProto, **weights: Array) -> Kind:
    return Kind(nodes, ["n", 2], {"y": ("FP32", ["n", 2])}, weights)


def _quantized() -> Kind:
    """What `quantize_dynamic` writes: the scale comes from all rows together."""
    return over_batch(
        node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        node("MatMulInteger", ["q", "w", "z"], ["i"]),
        node("Cast", ["i"], ["f"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["f", "s"], ["y"]),
        w=np.array([[2, -1], [1, 3]], np.int8),
    )


def _labels() -> Kind:
    """The same, where only the label is told."""
    kind = _quantized()
    kind.nodes = [*kind.nodes, node("ArgMax", ["y"], ["label"], axis=1, keepdims=0)]
    kind.outputs = {"label": ("INT64", ["n"])}
    kind.small = f32(0.4, -0.1).reshape(1, 2)
    return kind


def _quantized_numbers() -> Kind:
    """The same with whole numbers, of which those that all models take hardly differ in size."""
    kind = _quantized()
    kind.nodes = [node("Cast", ["x"], ["c"], to=onnx.TensorProto.FLOAT), *kind.nodes]
    kind.nodes[1].input[0] = "c"
    kind.datatype = "INT64"
    kind.small, kind.large = np.array([[1, 2]]), np.array([[90_000, 500]])
    return kind


def _audio() -> Kind:
    return Kind(
        [
            node("Unsqueeze", ["x", "a"], ["u"]),
            node("Conv", ["u", "k"], ["c"], pads=[2, 2]),
            node("Squeeze", ["c", "a"], ["y"]),
        ],
        ["t"],
        {"y": ("FP32", ["t"])},
        {"a": i64(0, 1), "k": np.ones((1, 1, 5), np.float32)},
        small=f32(1, 1, 1),
        large=f32(1000, 1000, 1000),
    )


def _detections() -> Kind:
    """As many rows come out as values are above a threshold."""
    return Kind(
        [
            node("Greater", ["x", "h"], ["g"]),
            node("NonZero", ["g"], ["z"]),
            node("Transpose", ["z"], ["i"]),
            node("GatherND", ["x", "i"], ["y"]),
        ],
        ["n", 2],
        {"y": ("FP32", ["k"])},
        {"h": f32(0.5)},
    )


def _recurrence(layout: str) -> Kind:
    """An RNN whose first dimension is the time, or the batch."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(1, 3, 2)).astype(np.float32),
        "r": random.normal(size=(1, 3, 3)).astype(np.float32),
    }
    first, last = ("x", "h") if layout == "time" else ("t", "h")
    nodes = [node("RNN", [first, "w", "r"], ["s", last], hidden_size=3)]
    if layout == "time":
        nodes += [node("Squeeze", ["s", "a"], ["y"])]
        weights["a"] = i64(1)
    else:
        nodes.insert(0, node("Transpose", ["x"], ["t"], perm=[1, 0, 2]))
        nodes += [node("Squeeze", ["h", "a"], ["y"])]
        weights["a"] = i64(0)
    output: Shape = ["t", "b", 3] if layout == "time" else ["n", 3]
    return Kind(
        nodes,
        ["t", "b", 2] if layout == "time" else ["n", "t", 2],
        {"y": ("FP32", output)},
        weights,
        small=np.full((1, 1, 2), 0.1, np.float32),
        large=np.full((1, 1, 2), 9.0, np.float32),
    )


def _branch(threshold: float) -> Kind:
    """One way for all rows, by the largest value of all."""
    output = onnx_models.value("z", "FP32", ["n", 2])
    doubled = helper.make_graph([node("Add", ["x", "x"], ["z"])], "then", [], [output])
    same = helper.make_graph([node("Identity", ["x"], ["z"])], "else", [], [output])
    return over_batch(
        node("ReduceMax", ["x"], ["m"], keepdims=0),
        node("Greater", ["m", "t"], ["c"]),
        node("If", ["c"], ["y"], then_branch=doubled, else_branch=same),
        t=np.array(threshold, np.float32),
    )


def _scan() -> Kind:
    """Carries a sum from row to row."""
    value = onnx_models.value
    body = helper.make_graph(
        [node("Add", ["s", "r"], ["t"]), node("Identity", ["t"], ["o"])],
        "body",
        [value("s", "FP32", [2]), value("r", "FP32", [2])],
        [value("t", "FP32", [2]), value("o", "FP32", [2])],
    )
    return over_batch(node("Scan", ["i", "x"], ["l", "y"], num_scan_inputs=1, body=body), i=f32(0, 0))


def _shifted_ids() -> Kind:
    """Counts from the smallest number of all."""
    kind = over_batch(node("ReduceMin", ["x"], ["m"], keepdims=0), node("Sub", ["x", "m"], ["y"]))
    kind.datatype, kind.outputs = "INT64", {"y": ("INT64", ["n", 2])}
    kind.small, kind.large = np.array([[1, 2]]), np.array([[-70, 500]])
    return kind


def _numbered_texts() -> Kind:
    """The place of each text among the different ones."""
    return Kind(
        [node("Unique", ["x"], ["u", "f", "y"], axis=0)],
        ["n"],
        {"y": ("INT64", ["k"])},
        datatype="BYTES",
        small=np.array(["b"], object),
        large=np.array(["a"], object),
    )


def _padded_to_the_longest() -> Kind:
    """Each row counts up to its value, and is as long as the largest value of all."""
    return Kind(
        [
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Range", ["zero", "m", "one"], ["r"]),
            node("Less", ["r", "x"], ["l"]),
            node("Cast", ["l"], ["y"], to=onnx.TensorProto.INT64),
        ],
        ["n", 1],
        {"y": ("INT64", ["n", "longest"])},
        {"zero": np.array(0), "one": np.array(1)},
        datatype="INT64",
        small=np.array([[2]]),
        large=np.array([[7]]),
    )


MIXING: dict[str, Callable[[], Kind]] = {
    "similarities": lambda: Kind(
        [node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"], ["y"])],
        ["n", 2],
        {"y": ("FP32", ["n", "n"])},
    ),
    "attention_over_rows": lambda: over_batch(
        node("Transpose", ["x"], ["t"]),
        node("MatMul", ["x", "t"], ["p"]),
        node("Softmax", ["p"], ["s"], axis=1),
        node("MatMul", ["s", "x"], ["y"]),
    ),
    "detections": _detections,
    "audio": _audio,
    "recurrence_over_time": lambda: _recurrence("time"),
    "padded_to_the_longest": _padded_to_the_longest,
    "dynamic_quantization": _quantized,
    "labels_of_dynamic_quantization": _labels,
    "dynamic_quantization_of_whole_numbers": _quantized_numbers,
    "softmax_over_rows": lambda: over_rows("Softmax", axis=0),
    "hardmax_over_rows": lambda: over_rows("Hardmax", axis=0),
    "cumulative_sum": lambda: over_batch(node("CumSum", ["x", "a"], ["y"]), a=i64(0)),
    "sorted": lambda: over_batch(
        node("Shape", ["x"], ["shape"], end=1),
        node("TopK", ["x", "shape"], ["y", "i"], axis=0),
    ),
    "reversed": lambda: over_batch(
        node("Slice", ["x", "s", "e", "a", "d"], ["y"]), s=i64(-1), e=i64(-(2**40)), a=i64(0), d=i64(-1)
    ),
    "shifted": lambda: over_batch(
        node("Slice", ["x", "s", "e", "a"], ["tail"]),
        node("Slice", ["x", "z", "s", "a"], ["head"]),
        node("Concat", ["tail", "head"], ["y"], axis=0),
        s=i64(1), e=i64(2**40), a=i64(0), z=i64(0),
    ),
    "centred": lambda: over_batch(
        node("ReduceMean", ["x"], ["m"], axes=[0]), node("Sub", ["x", "m"], ["y"])
    ),
    "scaled_by_the_largest": lambda: over_batch(
        node("ReduceMax", ["x"], ["m"], keepdims=0), node("Div", ["x", "m"], ["y"])
    ),
    "first_row_for_all": lambda: over_batch(
        node("Gather", ["x", "i"], ["first"], axis=0), node("Add", ["x", "first"], ["y"]), i=i64(0)
    ),
    "counted": lambda: over_batch(
        node("Shape", ["x"], ["s"], end=1),
        node("Cast", ["s"], ["f"], to=onnx.TensorProto.FLOAT),
        node("Mul", ["x", "f"], ["y"]),
    ),
    "numbered": lambda: over_batch(
        node("Shape", ["x"], ["s"], end=1),
        node("Squeeze", ["s"], ["c"]),
        node("Range", ["z", "c", "o"], ["r"]),
        node("Cast", ["r"], ["f"], to=onnx.TensorProto.FLOAT),
        node("Unsqueeze", ["f", "o1"], ["u"]),
        node("Add", ["x", "u"], ["y"]),
        z=np.array(0), o=np.array(1), o1=i64(1),
    ),
    "branch_by_the_largest": lambda: _branch(500.0),
    "scan": _scan,
    "shifted_ids": _shifted_ids,
    "numbered_texts": _numbered_texts,
    "distinct": lambda: Kind(
        [node("Unique", ["x"], ["y"], axis=0)], ["n", 2], {"y": ("FP32", ["k", 2])}
    ),
    "random": lambda: over_batch(
        node("RandomNormalLike", ["x"], ["r"]), node("Add", ["x", "r"], ["y"])
    ),
    "columns_swapped_for_rows": lambda: over_batch(
        node("Transpose", ["x"], ["t"]), node("Reshape", ["t", "s"], ["y"]), s=i64(-1, 2)
    ),
}  # fmt: skip


def _texts() -> Kind:
    return Kind(
        [node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)],
        ["n"],
        {"y": ("FP32", [None])},
        datatype="BYTES",
        small=np.array(["1.5"], object),
        large=np.array(["-700"], object),
    )


def _windows() -> Kind:
    return Kind(
        [node("Conv", ["x", "w"], ["y"])],
        ["n", 1, "h", "w_"],
        {"y": ("FP32", ["n", 1, "a", "b"])},
        {"w": np.ones((1, 1, 3, 3), np.float32)},
        small=np.full((1, 1, 4, 5), 0.1, np.float32),
        large=np.full((1, 1, 4, 5), 500.0, np.float32),
    )


def _embedding() -> Kind:
    table = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    return Kind(
        [node("Gather", ["table", "x"], ["y"])],
        ["n", "t"],
        {"y": ("FP32", ["n", "t", 3])},
        {"table": table},
        datatype="INT64",
        small=np.array([[0, 1, 1]]),
        large=np.array([[1, 0, 0]]),
    )


INDEPENDENT: dict[str, Callable[[], Kind]] = {
    "softmax": lambda: over_rows("Softmax", axis=1),
    "square_root": lambda: over_rows("Sqrt"),
    "layer_normalization": lambda: over_batch(
        node("LayerNormalization", ["x", "g"], ["y"], axis=-1), g=f32(1, 2)
    ),
    "dense": lambda: over_batch(node("MatMul", ["x", "w"], ["y"]), w=f32(1, -2, 3, 0.5).reshape(2, 2)),
    "recurrence_over_rows": lambda: _recurrence("batch"),
    "windows": _windows,
    "texts": _texts,
    "embedding": _embedding,
}
