"""Numbers that a computer does not compute as mathematics does: none decides what is proven."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime.onnx.rows.graph_texts import obstacle, parse

_Node = tuple[str, list[str], str, dict[str, int]]
_X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
_Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
_TO_FLOAT, _TO_INT32, _TO_INT64 = (
    {"to": kind} for kind in (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64)
)

CONDITIONS: dict[str, tuple[list[_Node], dict[str, NDArray[np.generic] | onnx.TensorProto]]] = {
    "rounded to FP32": (
        [("Cast", ["a"], "b", _TO_FLOAT), ("Equal", ["b", "one"], "c", {})],
        {"a": np.array(1.000000000001), "one": np.array(1, np.float32)},
    ),
    "rounded to FP32 and whole again": (
        [("Cast", ["a"], "b", _TO_FLOAT), ("Cast", ["b"], "i", _TO_INT64), ("Less", ["i", "a"], "c", {})],
        {"a": np.array(16777217)},
    ),
    "wrapped around in INT8": (
        [("Neg", ["a"], "b", {}), ("Cast", ["b"], "i", _TO_INT64), ("Less", ["i", "zero"], "c", {})],
        {"a": np.array(-128, np.int8), "zero": np.array(0)},
    ),
    "cut down to INT32": (
        [("Cast", ["a"], "b", _TO_INT32), ("Equal", ["b", "one"], "c", {})],
        {"a": np.array(2**32 + 1), "one": np.array(1, np.int32)},
    ),
    "wrapped around in INT32 but not in INT64": (
        [
            ("Mul", ["a", "a"], "b", {}),
            ("Cast", ["b"], "i", _TO_INT64),
            ("Mul", ["d", "d"], "e", {}),
            ("Equal", ["i", "e"], "same", {}),
            ("Not", ["same"], "c", {}),
        ],
        {"a": np.array(65536, np.int32), "d": np.array(65536)},
    ),
    "difference of infinities": (
        [("Sub", ["a", "a"], "b", {}), ("Equal", ["b", "zero"], "same", {}), ("Not", ["same"], "c", {})],
        {"a": np.array(np.inf, np.float32), "zero": np.array(0, np.float32)},
    ),
    "no number": (
        [("Div", ["a", "a"], "b", {}), ("Equal", ["b", "b"], "same", {}), ("Not", ["same"], "c", {})],
        {"a": np.array(0, np.float32)},
    ),
    "quotient of what is no number": (
        [
            ("Div", ["a", "a"], "b", {}),
            ("Div", ["b", "b"], "d", {}),
            ("Cast", ["d"], "i", _TO_INT64),
            ("Equal", ["i", "one"], "same", {}),
            ("Not", ["same"], "c", {}),
        ],
        {"a": np.array(0, np.float32), "one": np.array(1)},
    ),
    "floats of a shape": (
        [
            ("ConstantOfShape", ["scalar"], "a", {}),
            ("Exp", ["a"], "b", {}),
            ("Exp", ["b"], "e", {}),
            ("Cast", ["e"], "i", _TO_INT64),
            ("Mul", ["i", "i"], "ii", {}),
            ("Mul", ["e", "e"], "ee", {}),
            ("Cast", ["ee"], "j", _TO_INT64),
            ("Equal", ["ii", "j"], "same", {}),
            ("Not", ["same"], "c", {}),
        ],
        {"scalar": np.zeros(0, np.int64)},
    ),
    "cut down as it is read": (
        [("Cast", ["a"], "i", _TO_INT64), ("Equal", ["i", "zero"], "c", {})],
        {
            "a": onnx.TensorProto(data_type=TensorProto.UINT8, int32_data=[256]),
            "zero": np.array(0),
        },
    ),
    "true by another number": (
        [("Equal", ["a", "yes"], "c", {})],
        {"a": onnx.TensorProto(data_type=TensorProto.BOOL, int32_data=[2]), "yes": np.array(True)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONDITIONS)
def test_condition_is_not_taken_for_known(case: str) -> None:
    nodes, constants = CONDITIONS[case]
    model = _mixing_if([helper.make_node(op, ins, [out], **more) for op, ins, out, more in nodes], constants)
    assert _is_mixing(model), "ONNX Runtime does not go the way on which rows are mixed"
    assert obstacle(model) is not None


def _mixing_if(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[np.generic] | onnx.TensorProto]
) -> onnx.ModelProto:
    """Adds up over the rows where `c` is true, and gives them back as they are otherwise."""
    branches = {}
    for branch, node in (("then_branch", ("CumSum", ["x", "first"])), ("else_branch", ("Identity", ["x"]))):
        output = helper.make_tensor_value_info(branch, TensorProto.FLOAT, None)
        branches[branch] = helper.make_graph([helper.make_node(*node, [branch])], branch, [], [output])
    initializers = [numpy_helper.from_array(np.array(0), "first")]
    for name, value in constants.items():
        if isinstance(value, onnx.TensorProto):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = name
            initializers.append(tensor)
        else:
            initializers.append(numpy_helper.from_array(value, name))
    graph = helper.make_graph(
        [*nodes, helper.make_node("If", ["c"], ["y"], **branches)], "g", [_X], [_Y], initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# Where p and q are taken for equal, p = 4 and q = 2, rows are mixed behind the second Reshape.
_BELIEVED_EQUAL = """
  rows = Shape<start=0, end=1>({x})
  s0 = Concat<axis=0>(rows, p)
  a = Reshape({x}, s0)
  s1 = Concat<axis=0>(rest, q)
  b = Reshape(a, s1)
  t = Transpose(b)
  s2 = Concat<axis=0>(p, rest)
  d = Reshape(t, s2)
  y = Transpose(d)}}"""


def _numbers(count: int) -> str:
    return ",".join(f"{number % 7}.5" for number in range(count))


SIZES = {
    "parts of different numbers of parts": """(float[n,4] x, float[n,h] z) => (float[n,4] y)
  <int64[1] rest = {-1}>
  {a0, a1 = Split<axis=1, num_outputs=2>(z)
  b0, b1, b2, b3 = Split<axis=1, num_outputs=4>(z)
  p = Shape<start=1, end=2>(a0)
  q = Shape<start=1, end=2>(b0)""",
    "windows that begin at different places": """(float[n,4] x, float[n,1,h] z) => (float[n,4] y)
  <int64[1] rest = {-1}, int64[1] two = {2}>
  {a0 = MaxPool<kernel_shape=[2], strides=[3], pads=[1,0], ceil_mode=1>(z)
  b0 = MaxPool<kernel_shape=[2], strides=[3], pads=[0,1], ceil_mode=1>(z)
  p1 = Shape<start=2, end=3>(a0)
  q1 = Shape<start=2, end=3>(b0)
  p = Mul(p1, two)
  q = Mul(q1, two)""",
    "images that keep their proportions": """(float[n,4] x) => (float[n,m] y)
  <int64[1] rest = {-1}, int64[1] q = {4}, int64[4] image = {-1,1,2,2}, int64[2] size = {1,4}>
  {i = Reshape(x, image)
  r = Resize<mode="nearest", axes=[2,3], keep_aspect_ratio_policy="not_smaller">(i, , , size)
  f = Flatten(r)
  p = Shape<start=1, end=2>(f)""",
    "features that are filled up": """(float[n,4] x) => (float[n,m] y)
  <int64[1] rest = {-1}, int64[1] q = {4}>
  {f = ai.onnx.ml.FeatureVectorizer<inputdimensions=[8]>(x)
  p = Shape<start=1, end=2>(f)""",
    "scores of pairs": f"""(float[n,4] x) => (float[n,m] y)
  <int64[1] rest = {{-1}}, int64[1] q = {{5}}>
  {{l, f = ai.onnx.ml.SVMClassifier<classlabels_ints=[0,1,2,3,4], kernel_type="LINEAR",
    kernel_params=[0.0,0.0,0.0], coefficients=[{_numbers(20)}], rho=[{_numbers(10)}],
    support_vectors=[{_numbers(20)}], vectors_per_class=[1,1,1,1,1]>(x)
  p = Shape<start=1, end=2>(f)""",
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_are_not_taken_for_equal(case: str) -> None:
    head = SIZES[case]
    model = parse(head + _BELIEVED_EQUAL.format(x="f" if "f = " in head else "x"), opset=18)
    assert _is_mixing(model), "the graph should mix rows"
    assert obstacle(model) is not None


def _is_mixing(model: onnx.ModelProto) -> bool:
    """Two rows together come out other than each alone."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    sizes = {"x": (2, 4), "z": (2, 8)}
    inputs = {tensor.name: random.normal(size=sizes[tensor.name]) for tensor in session.get_inputs()}
    if "z" in inputs and len(session.get_inputs()[1].shape) == 3:
        inputs["z"] = random.normal(size=(2, 1, 3))
    feeds = {name: array.astype(np.float32) for name, array in inputs.items()}
    together = session.run(None, feeds)[0]
    alone = [
        session.run(None, {name: array[row : row + 1] for name, array in feeds.items()})[0] for row in (0, 1)
    ]
    return not np.allclose(together, np.concatenate(alone))
