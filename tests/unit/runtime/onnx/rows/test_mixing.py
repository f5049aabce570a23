"""Models whose rows depend on each other, on their places or on how many there are: each is refused."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.unit.runtime.onnx.rows.differential import find_dependence, open_session
from tests.unit.runtime.onnx.rows.graph_texts import obstacle, parse, read_cases
from tests.unit.runtime.onnx.rows.test_proven import make_inputs

MIXING = read_cases("mixing.txt")
MIXING_WHEN_RUN = read_cases("mixing_when_run.txt")


def mixes(model: onnx.ModelProto) -> bool:
    return find_dependence(open_session(model), make_inputs(model)) is not None


@pytest.mark.parametrize("case", MIXING_WHEN_RUN)
def test_model_that_mixes_when_it_runs_is_refused_at_the_node(case: str) -> None:
    head, graph = MIXING_WHEN_RUN[case]
    node, _, opset = head.partition(" | ")
    model = parse(graph, int(opset or 17))
    assert mixes(model), "the graph should mix rows"
    assert (obstacle(model) or "").startswith(f"node {node}: "), obstacle(model)


@pytest.mark.parametrize("case", MIXING)
def test_mixing_model_is_refused_at_the_node(case: str) -> None:
    node, graph = MIXING[case]
    found = obstacle(parse(graph, opset=20 if "StringSplit" in graph else 17))
    assert found is not None
    assert found.startswith(f"node {node}: "), found


def test_softmax_before_version_13_takes_all_axes_behind() -> None:
    graph = "(float[b,n] x) => (float[b,n] y) {t = Transpose(x) s = Softmax<axis=%d>(t) y = Transpose(s)}"
    for opset, axis, proven in ((13, 0, True), (12, 0, False), (12, 1, False), (13, 1, False)):
        assert (obstacle(parse(graph % axis, opset)) is None) is proven, (opset, axis)


def test_function_that_hides_a_mixing_node_is_refused() -> None:
    functions = '<opset_import: ["": 17], domain: "local"> Hidden (a) => (b) {b = Softmax<axis=0>(a)}'
    found = obstacle(parse("(float[n,4] x) => (float[n,4] y) {y = local.Hidden(x)}", functions=functions))
    assert found is not None
    assert "(Softmax)" in found


def test_function_gets_the_attributes_of_its_call() -> None:
    functions = (
        '<opset_import: ["": 17], domain: "local"> Soft <at> (a) => (b) {b = Softmax<axis: int = @at>(a)}'
    )
    graph = "(float[n,4] x) => (float[n,4] y) {y = local.Soft<at=%d>(x)}"
    assert obstacle(parse(graph % 1, functions=functions)) is None
    assert "(Softmax)" in (obstacle(parse(graph % 0, functions=functions)) or "")


def test_function_for_other_versions_than_the_model_has_is_refused() -> None:
    """ONNX Runtime runs the function's nodes in the model's version, in which this one takes all axes."""
    functions = (
        '<opset_import: ["": %d], domain: "local"> Soft (a) => (b)'
        "{t = Transpose<perm=[1,0,2]>(a) s = Softmax<axis=0>(t) b = Transpose<perm=[1,0,2]>(s)}"
    )
    graph = "(float[n,2,2] x) => (float[n,2,2] y) {y = local.Soft(x)}"
    assert obstacle(parse(graph, 17, functions % 17)) is None
    assert "'y' (local.Soft)" in (obstacle(parse(graph, 11, functions % 17)) or "")


def test_function_within_a_function_for_other_versions_than_the_model_has_is_refused() -> None:
    functions = (
        '<opset_import: ["local": 1], domain: "local"> Outer (a) => (b) {b = local.Soft(a)}'
        '<opset_import: ["": 17], domain: "local"> Soft (a) => (b)'
        "{t = Transpose<perm=[1,0,2]>(a) s = Softmax<axis=0>(t) b = Transpose<perm=[1,0,2]>(s)}"
    )
    graph = "(float[n,2,2] x) => (float[n,2,2] y) {y = local.Outer(x)}"
    assert obstacle(parse(graph, 17, functions)) is None
    model = parse(graph, 11, functions)
    assert mixes(model)
    assert "'b' (local.Soft)" in (obstacle(model) or "")
    del model.opset_import[0]
    assert "'b' (local.Soft)" in (obstacle(model) or "")


@pytest.mark.parametrize("has_number", [True, False])
def test_attribute_that_names_another_outside_of_functions_is_refused(has_number: bool) -> None:
    """ONNX Runtime takes the number that is there, or 0."""
    model = parse("(float[n,4] x) => (float[n,4] y) {y = Softmax<axis=0>(x)}")
    axis = model.graph.node[0].attribute[0]
    axis.ref_attr_name = "axis"
    if not has_number:
        axis.ClearField("i")
    assert mixes(model)
    assert "'y' (Softmax): it names an attribute" in (obstacle(model) or "")
    functions = '<opset_import: ["": 17], domain: "local"> Soft <axis> (a) => (b) {b = Identity(a)}'
    call = parse("(float[n,4] x) => (float[n,4] y) {y = local.Soft<axis=0>(x)}", functions=functions)
    call.graph.node[0].attribute[0].ref_attr_name = "axis"
    assert "'y' (local.Soft): it names an attribute" in (obstacle(call) or "")


@pytest.mark.parametrize("case", ["as it should be", "with integers in front", "as integers"])
def test_constant_is_what_the_type_of_its_first_attribute_says(case: str) -> None:
    """The other numbers, of the name that counts, would make rows of columns look right."""
    model = parse(
        "(float[n,4] x) => (float[n,4] y){c = Constant() t = Transpose(x) z = Transpose(t) y = Reshape(z, c)}"
    )
    value = helper.make_attribute("value", numpy_helper.from_array(np.array([-1, 4])))
    attributes = [value]
    if case == "with integers in front":
        attributes.insert(0, helper.make_attribute("value_ints", [4, -1]))
    elif case == "as integers":
        value.type = onnx.AttributeProto.INTS
        value.ints.extend([4, -1])
    model.graph.node[0].attribute.extend(attributes)
    assert mixes(model) is (case != "as it should be")
    assert (obstacle(model) is not None) is mixes(model)


def test_function_under_the_name_of_a_known_operator_is_refused() -> None:
    functions = '<opset_import: ["": 17], domain: "com.microsoft"> Gelu (a) => (b) {b = Softmax<axis=0>(a)}'
    found = obstacle(
        parse("(float[n,4] x) => (float[n,4] y) {y = com.microsoft.Gelu(x)}", functions=functions)
    )
    assert found is not None


@pytest.mark.parametrize(
    ("graph", "part"),
    [
        ("(float[1,4] x) => (float[1,4] y) {y = Relu(x)}", "input 'x' has the fixed first dimension 1"),
        ("(float x) => (float y) {y = Relu(x)}", "input 'x' is a single number"),
        ("(float[n,4] x, float t) => (float[n,4] y) {y = Add(x, t)}", "input 't' is a single number"),
        ("(float[n,4] x) => (float[4,n] y) {y = Transpose(x)}", "output 'y' has the rows along axis 1"),
        ("(float[n,4] x) => (int64[2] y) {y = Shape(x)}", "output 'y' tells the number of rows"),
        ("(float[n,4] x) => (float[4] y) <float[4] w = {1,2,3,4}> {y = Relu(w)}", "has no dimension"),
        ("(float[n,4] x) => (float[m] y) <int64[1] s = {-1}> {y = Reshape(x, s)}", "not exactly one"),
        ("(float[n,4] x) => (float[m,4] y) <int64[2] r = {2,1}> {y = Tile(x, r)}", "not exactly one"),
        ("(string[n] x) => (string[n,m] y) {y, c = StringSplit(x)}", "output 'y' is padded"),
        ("() => (float[4] y) <float[4] w = {1,2,3,4}> {y = Relu(w)}", "no inputs"),
    ],
)  # fmt: skip
def test_inputs_and_outputs_without_a_batch_are_named(graph: str, part: str) -> None:
    assert part in (obstacle(parse(graph, opset=20)) or "")


def test_mixing_node_that_no_output_needs_does_not_matter() -> None:
    graph = "(float[n,4] x) => (float[n,4] y) {unused = Softmax<axis=0>(x) y = Relu(x)}"
    assert obstacle(parse(graph)) is None


def test_version_of_operators_that_is_not_known_is_refused() -> None:
    for opset in (6, 29):
        assert "version" in (obstacle(parse("(float[n] x) => (float[n] y) {y = Relu(x)}", opset)) or "")
