"""Proven graphs, with one input another way round: what is still proven must hold when it runs.

Constants become inputs of the request, with the rows along any of their axes; inputs become constants of
three rows, or get the rows along another axis. So operators meet rows where they do not expect them.
"""

import copy
import re
from collections.abc import Iterator

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from tests.unit.runtime.onnx.rows.differential import find_dependence, open_session
from tests.unit.runtime.onnx.rows.graph_texts import obstacle, parse, read_cases
from tests.unit.runtime.onnx.rows.test_proven import SIZE, make_inputs

GRAPHS = read_cases("proven.txt")


def turned(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        dims = list(tensor.dims) or [SIZE]
        for axis in range(len(dims)):
            yield _with_rows(model, tensor.name, tensor.data_type, dims, axis)
    for value in model.graph.input:
        if value.name in constants:
            continue
        dims = [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        kind = value.type.tensor_type.elem_type
        for axis in range(1, len(dims)):
            yield _with_rows(model, value.name, kind, [SIZE, *dims[1:]], axis)
        if kind != TensorProto.STRING and len(model.graph.input) > 1:
            yield _constant(model, value)


def _without(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = copy.deepcopy(model)
    for kept in (changed.graph.initializer, changed.graph.input):
        for at in reversed([at for at, one in enumerate(kept) if one.name == name]):
            del kept[at]
    return changed


def _with_rows(
    model: onnx.ModelProto, name: str, kind: int, dims: list[int | str], axis: int
) -> onnx.ModelProto:
    """`name` becomes an input with the rows along `axis`; `dims` are its dimensions elsewhere."""
    changed = _without(model, name)
    rest = [size for at, size in enumerate(dims) if at != axis]
    order = list(range(1, len(dims)))
    order.insert(axis, 0)
    changed.graph.input.append(helper.make_tensor_value_info(f"{name}_rows", kind, ["rows", *rest]))
    changed.graph.node.insert(0, helper.make_node("Transpose", [f"{name}_rows"], [name], perm=order))
    return changed


def _constant(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> onnx.ModelProto:
    changed = _without(model, value.name)
    rows = make_inputs(model)[value.name][:SIZE]
    changed.graph.initializer.append(numpy_helper.from_array(rows, value.name))
    return changed


def _proven(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The model with each of its outputs alone, its rows brought to the first axis, where that is proven."""
    for output in model.graph.output:
        one = copy.deepcopy(model)
        del one.graph.output[:]
        kind = helper.make_tensor_type_proto(output.type.tensor_type.elem_type, None)
        one.graph.output.append(onnx.ValueInfoProto(name=output.name, type=kind))
        found = obstacle(one)
        elsewhere = re.search(r"has the rows along axis (\d+)", found or "")
        session = _load(one) if elsewhere else None
        if elsewhere and session:
            rank = len(session.get_outputs()[0].shape)
            found = obstacle(_moved(one, int(elsewhere[1]), rank))
        if found is None:
            yield one


def _load(model: onnx.ModelProto) -> InferenceSession | None:
    try:
        return open_session(model)
    except Exception:  # noqa: BLE001 - an input of a shape or type that the operator does not take
        return None


def _moved(model: onnx.ModelProto, axis: int, rank: int) -> onnx.ModelProto:
    """The model with `axis` of its only output in front."""
    output = model.graph.output[0]
    order = [axis, *(at for at in range(rank) if at != axis)]
    model.graph.node.append(helper.make_node("Transpose", [output.name], ["moved"], perm=order))
    output.name = "moved"
    return model


@pytest.mark.parametrize("case", GRAPHS)
def test_what_is_proven_of_a_turned_graph_holds_when_it_runs(case: str) -> None:
    opset, graph = GRAPHS[case]
    for turn in turned(parse(graph, int(opset or 17))):
        for model in _proven(turn):
            session = _load(model)
            if session is not None:
                assert find_dependence(session, make_inputs(model)) is None, onnx.printer.to_text(model)
