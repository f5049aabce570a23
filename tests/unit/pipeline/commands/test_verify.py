"""`modelservice model verify`: what a proof leaves out is named, and makes it fail."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelservice_cli.main import main
from modelservice_pipeline.proof.files import write_proof
from modelservice_pipeline.proof.proof import Case, Proof

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.fixture
def verify(tmp_path, capsys):
    """Verify y = x and z = -x by a proof with other outputs or marks."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xyz"]
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")

    def run(outputs, inputs=None, *flags, **more):
        write_proof(Proof((Case(inputs or {"x": X}, outputs),), **more), tmp_path)
        code = main(["model", "verify", str(tmp_path), *flags])
        return code, capsys.readouterr().out

    return run


def test_proof_of_every_output_holds(verify):
    assert verify({"y": X, "z": -X})[0] == 0


def test_proof_that_leaves_out_an_output_names_it_and_fails(verify):
    code, told = verify({"y": X})
    assert code == 3
    assert "it does not prove output 'z'" in told
    code, told = verify({"y": X}, None, "--json")
    assert (code, json.loads(told)["holds"]) == (3, False)


def test_marked_output_is_shown_with_its_reason(verify):
    code, told = verify({"y": X}, None, unproven={"z": "its framework has no such output"})
    assert code == 0
    assert "'z' is not proven, as the proof says: its framework has no such output" in told


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ({"x": X, "more": X}, {"y": X, "z": -X}, "it gives input 'more', which the model lacks"),
        ({"other": X}, {"y": X, "z": -X}, "it gives no input 'x'"),
        ({"x": X}, {"y": X, "z": -X, "w": X}, "it speaks of output 'w', which the model lacks"),
    ],
)
def test_proof_of_other_inputs_or_outputs_fails_by_name(verify, inputs, outputs, sentence):
    code, told = verify(outputs, inputs)
    assert code == 3
    assert sentence in told
