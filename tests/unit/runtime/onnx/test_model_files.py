"""Hostile model files; every row of the list of attacks, and where it is tested.

- external data in the model's directory, '..', absolute, links, hard links, `_ORT_MEM_ADDR_`, attributes,
  subgraphs; EPContext; custom domains; the ORT format; pickles, archives and pages under the name .onnx;
  truncated and random bytes; deep nesting; training information: `test_onnx_scan.py`
- `ORT_LOAD_CONFIG_FROM_MODEL`; links to the model; sequences and maps as inputs: `test_onnx_model.py`
- a loop without end: `test_http_connection.py` (timeout), `test_onnx_model.py` (stop)
- a crash of ONNX Runtime, a load without end: `test_model_trial.py`, `test_last_words.py`
- the smallest integer, divided: here
- no unpickling and no eval anywhere: `test_source_code.py`
- the rest: here
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tests.unit.runtime import onnx_models

from modelservice_runtime.errors import (
    InvalidRequestError,
    ModelLoadFailedError,
    ModelRejectedError,
    StartupError,
)
from modelservice_runtime.onnx.graph.policy import MAX_EXPANDED_NODES
from modelservice_runtime.onnx.graph.scan import scan_model, scan_model_file
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import DATATYPES

X, Y = onnx_models.value("x", "FP32", ["n"]), onnx_models.value("y", "FP32", None)
SETTINGS = SessionSettings(("CPU",), 1)


def make_model(
    *nodes: onnx.NodeProto,
    inputs: tuple[onnx.ValueInfoProto, ...] = (X,),
    initializers: tuple[onnx.TensorProto, ...] = (),
    sparse: tuple[onnx.SparseTensorProto, ...] = (),
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, [Y], list(initializers), sparse_initializer=list(sparse))
    opsets = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("my", 1),
        helper.make_opsetid("com.microsoft", 1),
    ]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    model.ir_version = 8
    return model


def add(name: str = "w") -> onnx.NodeProto:
    return helper.make_node("Add", ["x", name], ["y"])


def load(model: onnx.ModelProto | bytes, directory: Path) -> None:
    file = directory / "model.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    load_onnx_model(file, "m", "1", SETTINGS)


def external(dims: tuple[int, ...] = (2,), **entries: str) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, text in ({"location": "w.bin"} | entries).items():
        tensor.external_data.add(key=key, value=text)
    return tensor


def sparse_tensor(values: onnx.TensorProto, indices: list[int], size: int) -> onnx.SparseTensorProto:
    where = numpy_helper.from_array(np.array(indices, np.int64), "i")
    return onnx.SparseTensorProto(values=values, indices=where, dims=[size])


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """b = a, through the functions `calls` one after the other."""
    names = ["a", *(f"t{number}" for number in range(1, len(calls))), "b"]
    nodes = [
        helper.make_node(call, [names[at]], [names[at + 1]], domain="my" if call.startswith("F") else "")
        for at, call in enumerate(calls)
    ]
    return helper.make_function(
        "my", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    )


def call(name: str) -> onnx.NodeProto:
    return helper.make_node(name, ["x"], ["y"], domain="my")


@pytest.mark.parametrize(
    ("entries", "dims"),
    [
        ({"offset": "-8", "length": "8"}, (2,)),
        ({"offset": "4", "length": "8"}, (2,)),
        ({"offset": str(2**63), "length": "8"}, (2,)),
        ({"offset": "text"}, (2,)),
        ({"length": "-1"}, (2,)),
        ({}, (2**20,)),
    ],
)
def test_external_data_outside_its_file_is_refused(
    tmp_path: Path, entries: dict[str, str], dims: tuple[int, ...]
) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    with pytest.raises(ModelLoadFailedError):
        load(make_model(add(), initializers=(external(dims, **entries),)), tmp_path)


def test_external_data_of_sparse_tensors_is_refused() -> None:
    for sparse in (
        sparse_tensor(external(), [0, 1], 4),
        sparse_tensor(external(location="/etc/passwd"), [0], 4),
    ):
        with pytest.raises(ModelRejectedError, match="main graph"):
            scan_model(memoryview(make_model(add(), sparse=(sparse,)).SerializeToString()))


def test_external_data_under_two_names_is_checked_under_both(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    tensor = external()
    tensor.external_data.add(key="location", value="../w.bin")
    with pytest.raises(ModelRejectedError, match="outside"):
        load(make_model(add(), initializers=(tensor,)), tmp_path)


def test_external_data_under_a_name_that_is_cut_in_the_middle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    location = "w.bin" + "/." * 4000 + "/../../../../etc/passwd"
    with pytest.raises(ModelRejectedError, match="longer than any path"):
        load(make_model(add(), initializers=(external(location=location),)), tmp_path)


def test_field_number_that_only_another_parser_reads_is_refused(tmp_path: Path) -> None:
    """The same field with bits that a 32-bit parser drops: external data that the scan would not see."""
    content = make_model(add(), initializers=(external(location="/etc/passwd"),)).SerializeToString()
    entry = external(location="/etc/passwd").external_data[0].SerializeToString()
    plain = bytes([13 << 3 | 2, len(entry)]) + entry
    hidden = b"\xea\x80\x80\x80\x10" + bytes([len(entry)]) + entry
    assert plain in content
    tensor = external(location="/etc/passwd").SerializeToString()
    graph = make_model(add()).graph.SerializeToString()
    longer = tensor.replace(plain, hidden).replace(b"\x70\x01", b"\xf0\x80\x80\x80\x10\x01")
    graph += bytes([5 << 3 | 2, len(longer)]) + longer
    assert len(graph) < 128
    with pytest.raises(ModelLoadFailedError, match="truncated or is not"):
        load(b"\x08\x08\x42\x02\x10\x11" + bytes([7 << 3 | 2, len(graph)]) + graph, tmp_path)


@pytest.mark.parametrize("name", ["EPContext", "PythonOp"])
def test_refused_operator_is_refused_even_where_the_model_defines_a_function_of_its_name(name: str) -> None:
    body = [helper.make_node("Identity", ["a"], ["b"])]
    own = helper.make_function("com.microsoft", name, ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    node = helper.make_node(name, ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(ModelRejectedError, match=f"operator '{name}'"):
        scan_model(memoryview(make_model(node, functions=(own,)).SerializeToString()))


def test_custom_operator_within_a_function_is_refused() -> None:
    node = helper.make_node("Magic", ["a"], ["b"], domain="com.example")
    own = helper.make_function("my", "F", ["a"], ["b"], [node], [helper.make_opsetid("com.example", 1)])
    with pytest.raises(ModelRejectedError, match="custom operator"):
        scan_model(memoryview(make_model(call("F"), functions=(own,)).SerializeToString()))


def within_a_graph(node: onnx.NodeProto) -> onnx.NodeProto:
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    branch = helper.make_graph([node], "branch", [], [value])
    return helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)


def within_a_function(node: onnx.NodeProto) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(node.domain, 1)]
    return helper.make_function("my", "F", ["a", "c"], ["b"], [node], opsets)


@pytest.mark.parametrize(
    ("domain", "operator", "part"),
    [
        ("ai.onnx.contrib", "BertTokenizer", "one of onnxruntime-extensions.* tokenize or decode before"),
        ("com.microsoft.extensions", "SentencepieceTokenizer", "one of onnxruntime-extensions"),
        ("ai.onnx.mine", "Magic", "custom operator"),
        ("ai.onnx.contributed", "Magic", "custom operator"),
        ("com.microsoft.mine", "Magic", "custom operator"),
        ("org.pytorch.aten", "ATen", "custom operator"),
    ],
)
@pytest.mark.parametrize("place", ["graph", "branch", "function", "branch of a function"])
def test_operator_of_a_library_is_refused_wherever_it_stands(
    domain: str, operator: str, part: str, place: str
) -> None:
    node = helper.make_node(operator, ["a"], ["b"], domain=domain)
    if place == "graph":
        model = make_model(node)
    elif place == "branch":
        model = make_model(within_a_graph(node))
    else:
        inner = node if place == "function" else within_a_graph(node)
        model = make_model(call("F"), functions=(within_a_function(inner),))
    with pytest.raises(ModelRejectedError, match=f"operator '{operator}' of domain '{domain}' is.*{part}"):
        scan_model(memoryview(model.SerializeToString()))


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"])
def test_domain_that_onnx_runtime_brings_is_left_to_it(domain: str) -> None:
    scan_model(
        memoryview(make_model(helper.make_node("Any", ["x"], ["y"], domain=domain)).SerializeToString())
    )


def test_function_of_another_overload_does_not_stand_in() -> None:
    node = call("F")
    node.overload = "other"
    model = make_model(node, functions=(function("F", "Identity"),))
    with pytest.raises(ModelRejectedError, match="custom operator"):
        scan_model(memoryview(model.SerializeToString()))


def test_functions_that_double_thirty_times_are_refused() -> None:
    functions = [function(f"F{number}", f"F{number + 1}", f"F{number + 1}") for number in range(30)]
    model = make_model(call("F0"), functions=(*functions, function("F30", "Identity")))
    with pytest.raises(ModelRejectedError, match=f"over {MAX_EXPANDED_NODES} nodes"):
        scan_model(memoryview(model.SerializeToString()))


def test_function_that_calls_itself_is_refused() -> None:
    model = make_model(call("F"), functions=(function("F", "F2"), function("F2", "F")))
    with pytest.raises(ModelRejectedError, match="calls itself"):
        scan_model(memoryview(model.SerializeToString()))


def test_functions_that_call_each_other_a_few_times_are_fine(tmp_path: Path) -> None:
    load(make_model(call("F"), functions=(function("F", "F2", "F2"), function("F2", "Identity"))), tmp_path)


def test_ten_thousand_nested_types_are_a_typed_error(tmp_path: Path) -> None:
    content = b""
    for _ in range(10_000):
        inner = b"\x0a" + _length(content) + content
        content = b"\x22" + _length(inner) + inner
    info = b"\x0a\x01z\x12" + _length(content) + content
    graph = make_model(add("x")).graph.SerializeToString() + b"\x6a" + _length(info) + info
    with pytest.raises(ModelLoadFailedError):
        load(b"\x08\x08\x3a" + _length(graph) + graph, tmp_path)


def _length(content: bytes) -> bytes:
    """A protobuf length."""
    number, encoded = len(content), b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


@pytest.mark.parametrize(
    "inputs",
    [
        (onnx_models.value("x", "FP32", [2**40, 2**40]),),
        (onnx_models.value("x", "FP32", ["n", 2**41]),),
        (onnx_models.value("x", "FP32", [1] * 65),),
    ],
)
def test_huge_shape_is_refused(tmp_path: Path, inputs: tuple[onnx.ValueInfoProto, ...]) -> None:
    with pytest.raises(ModelRejectedError, match="no request or answer can carry"):
        load(make_model(helper.make_node("Identity", ["x"], ["y"]), inputs=inputs), tmp_path)


def _weight(dims: list[int]) -> onnx.TensorProto:
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(8))


@pytest.mark.parametrize(
    "model",
    [
        make_model(add(), initializers=(_weight([2**33, 2**33]),)),
        make_model(add(), initializers=(_weight([-1]),)),
        make_model(add(), initializers=(_weight([2**40]),)),
        make_model(add(), initializers=(_weight([0, 2**63 - 1]),)),
        make_model(
            add(),
            sparse=(sparse_tensor(numpy_helper.from_array(np.ones(2, np.float32), "w"), [0, 1], 2**40),),
        ),
        make_model(
            add(),
            sparse=(sparse_tensor(numpy_helper.from_array(np.ones(2, np.float32), "w"), [0, 10**9], 4),),
        ),
        make_model(helper.make_node("Add", ["x", "y"], ["y"])),
        make_model(add("missing")),
    ],
    ids=[
        "overflow",
        "negative",
        "huge",
        "empty and huge",
        "sparse and huge",
        "sparse outside",
        "cycle",
        "missing",
    ],
)
def test_impossible_weights_and_graphs_are_typed_errors(tmp_path: Path, model: onnx.ModelProto) -> None:
    with pytest.raises(ModelLoadFailedError):
        load(model, tmp_path)


@given(st.data())
def test_scan_of_a_damaged_model_ends_with_a_typed_error_or_a_result(data: st.DataObject) -> None:
    content = bytearray(make_model(add(), initializers=(external(),)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(StartupError):
        scan_model(memoryview(content))


def sized(name: str, *inputs: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(name, list(inputs), ["y"], **attributes)


SHAPE = numpy_helper.from_array(np.array([2], np.int64), "two")


@pytest.mark.parametrize(
    ("nodes", "varies"),
    [
        ([sized("ConstantOfShape", "x")], True),
        ([helper.make_node("Cast", ["x"], ["s"], to=TensorProto.INT64), sized("Tile", "x", "s")], True),
        ([helper.make_node("Shape", ["x"], ["s"]), sized("ConstantOfShape", "s")], False),
        ([sized("Tile", "x", "two")], False),
        ([sized("Expand", "x", "two")], False),
        ([sized("Range", "x", "x", "x")], True),
        ([sized("Relu", "x")], False),
    ],
)
def test_values_that_decide_sizes_are_found(nodes: list[onnx.NodeProto], varies: bool) -> None:
    model = make_model(*nodes, initializers=(SHAPE,))
    assert scan_model(memoryview(model.SerializeToString())).time_varies == varies


def test_sizes_within_functions_and_branches_count_as_decided_by_values(tmp_path: Path) -> None:
    inside = function("F", "Tile")
    assert scan_model(memoryview(make_model(call("F"), functions=(inside,)).SerializeToString())).time_varies
    branch = helper.make_graph([sized("ConstantOfShape", "two")], "b", [], [Y])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    assert scan_model(memoryview(make_model(choice, initializers=(SHAPE,)).SerializeToString())).time_varies


def test_file_that_is_no_regular_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError):
        load_onnx_model(Path("/dev/zero"), "m", "1", SETTINGS)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelLoadFailedError, match="empty"):
        scan_model_file(tmp_path / "empty.onnx")


@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("datatype", ["INT32", "INT64"])
@pytest.mark.parametrize("reshaped", [False, True])
def test_smallest_integer_is_refused_by_a_model_that_divides_it(
    tmp_path: Path, operator: str, datatype: str, reshaped: bool
) -> None:
    value = onnx_models.value
    dividend = "flat" if reshaped else "x"
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node(operator, [dividend, "by"], ["y"]),
    ]
    inputs = [value("x", datatype, ["n"]), value("by", datatype, ["n"])]
    shape = {"shape": np.array([-1])} if reshaped else {}
    used = nodes if reshaped else nodes[1:]
    path = onnx_models.save(tmp_path / "model.onnx", used, inputs, [value("y", datatype, ["n"])], shape)
    model = load_onnx_model(path, "m", "1", SETTINGS)
    numpy = DATATYPES[datatype].numpy
    by = np.array([-1, -1], numpy)
    (output,) = model.run({"x": np.array([7, np.iinfo(numpy).max], numpy), "by": by}, ("y",))
    assert output.tolist() == ([-7, -np.iinfo(numpy).max] if operator == "Div" else [0, 0])
    with pytest.raises(InvalidRequestError, match=r"'x' holds -[0-9]+, which this model divides"):
        model.run({"x": np.array([7, np.iinfo(numpy).min], numpy), "by": by}, ("y",))
    (output,) = model.run({"x": by, "by": np.array([np.iinfo(numpy).min] * 2, numpy)}, ("y",))
    assert output.size == 2
