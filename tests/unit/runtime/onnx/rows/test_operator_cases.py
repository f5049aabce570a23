"""The ONNX project's single-operator cases: whatever is proven of them gives a row the same answer anywhere.

Every case becomes several models: some inputs hold rows along one axis and the rest are constants, and the
output's rows are looked for along every axis.
"""

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tests.unit.runtime.onnx.rows.differential import ROWS, Array, find_difference, open_session
from tests.unit.runtime.onnx.rows.graph_texts import obstacle

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases
    from onnx.backend.test.case.test_case import TestCase

# ONNX Runtime has nothing newer; cases that need more say so themselves.
NEWEST_OPSET = 24
MOST_CASES_OF_AN_OPERATOR = 4
# Never proven: they mix, or ONNX Runtime cannot run them, or no case has rows that can be told apart.
AT_LEAST_PROVEN = 130


def load_cases() -> dict[str, list[TestCase]]:
    cases: dict[str, list[TestCase]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(None):
            if case.model is not None and len(case.model.graph.node) == 1 and _has_plain_inputs(case):
                cases.setdefault(case.model.graph.node[0].op_type, []).append(case)
    return {operator: _different(found) for operator, found in cases.items()}


def _different(cases: list[TestCase]) -> list[TestCase]:
    """A few cases whose attributes or ranks differ."""
    by_kind: dict[object, TestCase] = {}
    for case in cases:
        node = case.model.graph.node[0]
        kind = (str(node.attribute), tuple(array.ndim for array in case.data_sets[0][0]))
        by_kind.setdefault(kind, case)
    return list(by_kind.values())[:MOST_CASES_OF_AN_OPERATOR]


def _has_plain_inputs(case: TestCase) -> bool:
    data = case.data_sets[0][0]
    return len(data) == len(case.model.graph.input) and all(
        isinstance(array, np.ndarray) and value.type.HasField("tensor_type") and array.dtype.kind in "biufOS"
        for array, value in zip(data, case.model.graph.input, strict=True)
    )


def models_of(
    case: TestCase, random: np.random.Generator
) -> Iterator[tuple[onnx.ModelProto, dict[str, Array]]]:
    data = case.data_sets[0][0]
    with_axes = [at for at, array in enumerate(data) if array.ndim]
    subsets = [s for count in range(1, 4) for s in itertools.combinations(with_axes, count)][:6]
    for subset in subsets:
        for axis in range(min(3, max(data[at].ndim for at in subset))):
            axes = {at: min(axis, data[at].ndim - 1) for at in subset}
            for output in case.model.graph.output:
                rank = len(output.type.tensor_type.shape.dim)
                for output_axis in range(min(rank, 4)):
                    yield _model(case, axes, output, output_axis), _inputs(case, axes, random)


def _model(
    case: TestCase, axes: dict[int, int], output: onnx.ValueInfoProto, output_axis: int
) -> onnx.ModelProto:
    """The rows are brought from axis 0 to where the case wants them, and back."""
    node = onnx.NodeProto()
    node.CopyFrom(case.model.graph.node[0])
    nodes, inputs, constants = [], [], []
    for at, (value, array) in enumerate(zip(case.model.graph.input, case.data_sets[0][0], strict=True)):
        if at not in axes:
            constants.append(numpy_helper.from_array(array, value.name))
            continue
        rest = [size for place, size in enumerate(array.shape) if place != axes[at]]
        inputs.append(
            helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, ["n", *rest])
        )
        order = list(range(1, array.ndim))
        order.insert(axes[at], 0)
        nodes.append(helper.make_node("Transpose", [value.name], [f"{value.name}_moved"], perm=order))
        node.input[:] = [f"{value.name}_moved" if name == value.name else name for name in node.input]
    nodes.append(node)
    rank = len(output.type.tensor_type.shape.dim)
    order = [output_axis, *(place for place in range(rank) if place != output_axis)]
    nodes.append(helper.make_node("Transpose", [output.name], ["result"], perm=order))
    result = helper.make_tensor_value_info("result", output.type.tensor_type.elem_type, None)
    opsets = [
        helper.make_opsetid(opset.domain, opset.version if opset.domain else min(opset.version, NEWEST_OPSET))
        for opset in case.model.opset_import
    ]
    graph = helper.make_graph(nodes, case.name, inputs, [result], constants)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _inputs(case: TestCase, axes: dict[int, int], random: np.random.Generator) -> dict[str, Array]:
    """Rows of values that the case itself has, in another order, and where they are floats shaken."""
    found: dict[str, Array] = {}
    for at, axis in axes.items():
        array = case.data_sets[0][0][at]
        shape = (ROWS, *(size for place, size in enumerate(array.shape) if place != axis))
        values = random.choice(array.ravel(), size=shape) if array.size else np.zeros(shape, array.dtype)
        if array.dtype.kind == "f" and array.size:
            values = values + random.normal(size=shape) * (0.3 * np.abs(array).mean() + 0.03)
        found[case.model.graph.input[at].name] = values.astype(array.dtype)
    return found


def test_proven_operator_gives_a_row_the_same_answer_alone_and_among_others() -> None:
    random = np.random.default_rng(5)
    wrong: list[str] = []
    proven: set[str] = set()
    for operator, cases in load_cases().items():
        for case in cases:
            for model, inputs in models_of(case, random):
                if obstacle(model) is not None:
                    continue
                difference = _difference(model, inputs)
                proven.update([operator] if difference == "" else [])
                wrong += [f"{case.name}: {difference}"] if difference else []
    assert wrong == []
    assert len(proven) >= AT_LEAST_PROVEN, sorted(proven)


def _difference(model: onnx.ModelProto, inputs: dict[str, Array]) -> str | None:
    """Empty where there is none; None where ONNX Runtime does not run the model."""
    try:
        session = open_session(model)
    except Exception:  # noqa: BLE001 - ONNX Runtime lacks the operator, or has it for other types
        return None
    try:
        return find_difference(session, inputs) or ""
    except ValueError:
        return None
