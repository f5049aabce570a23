"""Files that no exporter writes: the proof ends soon, with an obstacle or an error that says why."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime.onnx.rows.graph_texts import obstacle, parse, read_cases

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError
from modelservice_runtime.onnx.rows import RowProof, prove_rows

SOURCES = [
    parse(graph, int(opset or 17)).SerializeToString() for opset, graph in read_cases("proven.txt").values()
]


def floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def make_model(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", [floats("x", "n", 4)], [floats("y", "n", 4)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@given(content=st.binary(max_size=300))
def test_any_bytes_end_with_a_typed_error_or_an_obstacle(content: bytes) -> None:
    with suppress(ModelLoadFailedError, ModelRejectedError):
        assert prove_rows(memoryview(content)).obstacle is not None


@given(source=st.sampled_from(SOURCES), place=st.integers(0, 1 << 16), byte=st.integers(0, 255))
def test_damaged_model_ends_with_a_typed_error_or_an_answer(source: bytes, place: int, byte: int) -> None:
    content = bytearray(source)
    content[place % len(content)] = byte
    with suppress(ModelLoadFailedError, ModelRejectedError):
        assert isinstance(prove_rows(memoryview(bytes(content))), RowProof)


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        ([("Add", ["x", "b"], ["a"]), ("Add", ["x", "a"], ["b"])], "uses 'b' before anything makes it"),
        ([("Relu", ["x"], ["y"]), ("Abs", ["x"], ["y"])], "'y' is given twice"),
        ([("Relu", ["x"], ["x"])], "'x' is given twice"),
        ([("Relu", ["x"], ["z"])], "uses 'y' before anything makes it"),
        ([("Relu", [], ["y"])], "output 'y' has no dimension"),
        ([("Relu", ["x"], ["y" * 5000])], "name in the graph is longer"),
        ([("Concat", ["x"] * 30_000, ["y"])], "a node has more parts"),
    ],
)
def test_odd_graph_is_an_obstacle(nodes: list[tuple[str, list[str], list[str]]], part: str) -> None:
    made = [helper.make_node(*node, **({"axis": 1} if node[0] == "Concat" else {})) for node in nodes]
    assert part in (obstacle(make_model(made)) or "")


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Transpose", {"perm": [0, 0]}),
        ("Transpose", {"perm": [5, 1]}),
        ("Flatten", {"axis": 9}),
        ("Softmax", {"axis": -7}),
        ("MaxPool", {"kernel_shape": [2] * 9}),
        ("Conv", {"strides": [0, 0]}),
        ("Slice", {"starts": [0, 0], "ends": [1], "axes": [1, 1]}),
        ("Pad", {"pads": [1]}),
        ("Split", {"axis": 3}),
        ("Einsum", {"equation": "abc->"}),
        ("Scan", {"num_scan_inputs": 1 << 62}),
        ("Loop", {}),
        ("Squeeze", {"axes": [1 << 40]}),
    ],
)
def test_node_whose_attributes_do_not_suit_it_is_an_obstacle(
    operator: str, attributes: dict[str, object]
) -> None:
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    assert obstacle(make_model([node])) is not None


@pytest.mark.parametrize("names", [[], ["s"], ["s", "s", "s"]])
def test_arithmetic_of_too_few_or_too_many_numbers_is_an_obstacle(names: list[str]) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Mod", names, ["t"])]
    nodes.append(helper.make_node("Reshape", ["x", "t"], ["y"]))
    assert obstacle(make_model(nodes)) is not None


def test_sizes_that_no_tensor_has_are_an_obstacle() -> None:
    nodes = [helper.make_node("Size", ["x"], ["s0"])]
    nodes += [helper.make_node("Mul", [f"s{i}", f"s{i}"], [f"s{i + 1}"]) for i in range(60)]
    nodes.append(helper.make_node("ConstantOfShape", ["s60"], ["y"]))
    assert "size that no tensor has" in (obstacle(make_model(nodes)) or "")


def test_loops_within_loops_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(depth: int) -> onnx.GraphProto:
        inner = (
            helper.make_node("Relu", [f"s{depth}"], [f"o{depth}"])
            if not depth
            else helper.make_node("Loop", ["", "go", f"s{depth}"], [f"o{depth}"], body=body(depth - 1))
        )
        inputs = [
            helper.make_tensor_value_info(f"i{depth}", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"c{depth}", TensorProto.BOOL, []),
            floats(f"s{depth}", "n", 4),
        ]
        going = helper.make_tensor_value_info(f"d{depth}", TensorProto.BOOL, [])
        identity = helper.make_node("Identity", [f"c{depth}"], [f"d{depth}"])
        return helper.make_graph([identity, inner], "body", inputs, [going, floats(f"o{depth}", "n", 4)])

    def model(depth: int) -> onnx.ModelProto:
        loop = helper.make_node("Loop", ["", "go", "x"], ["y"], body=body(depth))
        return make_model([loop], {"go": np.array(True)})

    assert obstacle(model(10)) is None
    monkeypatch.setattr("modelservice_runtime.onnx.rows.interpreter._MAX_DEPTH", 9)
    assert "nested" in (obstacle(model(10)) or "")
    monkeypatch.setattr("modelservice_runtime.onnx.rows.interpreter._MAX_STEPS", 8)
    assert "too many steps" in (obstacle(model(10)) or "")


def test_function_that_calls_itself_ends() -> None:
    functions = '<opset_import: ["": 17, "local": 1], domain: "local"> Again (a) => (b) {b = local.Again(a)}'
    found = obstacle(parse("(float[n,4] x) => (float[n,4] y) {y = local.Again(x)}", functions=functions))
    assert "nested" in (found or "")
