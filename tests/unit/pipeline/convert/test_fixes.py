"""What is mended in converted models, and what no proof can say."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelservice_pipeline.convert.convert import Request, check_numbers, finish
from modelservice_pipeline.convert.fixes import name_batch
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.cover import mark_unproven
from modelservice_pipeline.proof.files import read_proof, write_proof
from modelservice_pipeline.proof.proof import Case, Proof


def graph_with(rows, columns):
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, columns]) for name in ("x", "y")]
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])


def case(rows, columns):
    array = np.zeros((rows, columns), np.float32)
    return Case({"x": array}, {"y": array})


def sizes(value):
    return [size.dim_param or size.dim_value or None for size in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("rows", [None, "N", "dim_0"])
def test_first_dimension_is_the_batch_and_another_without_a_name_is_not(rows):
    graph = graph_with(rows, None)
    name_batch(graph, [case(2, 3), case(5, 3)])
    assert sizes(graph.input[0]) == ["batch", None]
    assert sizes(graph.output[0]) == ["batch", None]


def test_output_that_has_the_name_of_the_batch_twice_keeps_it():
    graph = graph_with("N", "N")
    name_batch(graph, [case(2, 2), case(5, 5)])
    assert sizes(graph.output[0]) == ["batch", "batch"]


def test_framework_that_answers_nothing_but_nan_proves_nothing():
    good, bad = np.array([[1.0]], np.float32), np.array([[np.nan]], np.float32)
    check_numbers(Proof((Case({}, {"y": good}), Case({}, {"y": bad}))))
    check_numbers(Proof((Case({}, {"y": np.array(["a"], object)}),)))
    with pytest.raises(PipelineError, match="NaN for every row of 'y'"):
        check_numbers(Proof((Case({}, {"y": bad}), Case({}, {"y": bad}))))


def test_model_that_the_runtime_refuses_is_told_without_our_own_paths(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        "g",
        *([helper.make_tensor_value_info(name, TensorProto.STRING, ["N"])] for name in ("x", "y")),
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    texts = {"x": np.array(["a"], object)}
    write_proof(Proof((Case(texts, {"y": texts["x"]}),)), tmp_path)
    with pytest.raises(PipelineError, match=r"ONNX Runtime does not take.*tensor\(string\)") as error:
        finish(Request("sklearn", tmp_path), tmp_path, {}, ())
    assert str(tmp_path) not in str(error.value)


def finish_with(folder, outputs, told):
    """Finish a model that answers x as y and nothing as z, of which a framework told something else."""
    nodes = [
        helper.make_node("Identity", ["x"], ["y"]),
        helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.zeros(0, np.float32))),
    ]
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", ports, answers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    x = np.ones(3, np.float32)
    write_proof(mark_unproven(Proof((Case({"x": x}, {name: told[name] for name in told}),))), folder)
    return finish(Request("torch", folder), folder, {}, ("first",))


X, EMPTY = np.ones(3, np.float32), np.zeros(0, np.float32)


def test_output_that_is_empty_in_every_run_is_told_and_marked(tmp_path):
    done = finish_with(tmp_path, ["y", "z"], {"y": X, "z": EMPTY})
    assert done.notes[0] == "first"
    assert "Nothing proves the output 'z': it has no values in any run." in done.notes[1]
    assert list(read_proof(tmp_path / "done").unproven) == ["z"]


@pytest.mark.parametrize(
    ("outputs", "told", "sentence"),
    [
        (["y", "z"], {"y": X}, "it does not prove output 'z'"),
        (["y"], {"y": X, "z": EMPTY}, "it speaks of output 'z', which the model lacks"),
    ],
)
def test_model_with_other_outputs_than_the_framework_is_not_written(tmp_path, outputs, told, sentence):
    with pytest.raises(PipelineError, match=sentence):
        finish_with(tmp_path, outputs, told)
    assert not list((tmp_path / "done").iterdir())
