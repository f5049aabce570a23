"""What is read from a file: weights by who reads them, what is quantized already, and why nothing helps."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.pipeline.compress.conftest import make_model, make_network

from modelservice_pipeline.compress.graph import (
    file_bytes,
    load_model,
    read_facts,
    why_no_int8,
    why_nothing_to_gain,
)
from modelservice_pipeline.errors import PipelineError


def test_weights_are_counted_by_their_operator_in_subgraphs_and_constants_too():
    big = numpy_helper.from_array(np.zeros((64, 64), np.float32))
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=big),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "then",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    model = make_model([node], [("x", [1, 64])], [("z", [1, 64])], [])
    facts = read_facts(model)
    assert facts.weight_bytes == {"MatMul": 64 * 64 * 4}
    assert facts.operators["MatMul"] == 2
    assert why_nothing_to_gain(facts) is None
    assert why_no_int8(facts) is None


@pytest.mark.parametrize(
    ("operator", "domain", "size", "said"),
    [
        ("TreeEnsembleClassifier", "ai.onnx.ml", 4, "trees"),
        ("Add", "", 4, "has 16 bytes of float weights; nothing"),
        ("QLinearMatMul", "", 4, "quantized already"),
    ],
)
def test_nothing_to_gain_is_said_with_its_reason(operator, domain, size, said):
    weight = numpy_helper.from_array(np.zeros(size, np.float32), "w")
    node = helper.make_node(operator, ["x", "w"], ["y"], domain=domain)
    facts = read_facts(make_model([node], [("x", [4])], [("y", [4])], [weight]))
    assert said in (why_nothing_to_gain(facts) or "")


def test_weights_in_attributes_are_told():
    node = helper.make_node(
        "LinearClassifier", ["x"], ["y", "p"], domain="ai.onnx.ml", coefficients=[0.5] * 5000
    )
    facts = read_facts(make_model([node], [("x", ["n", 5000])], [("y", ["n"])], []))
    assert "20000 bytes of attributes of LinearClassifier" in (why_nothing_to_gain(facts) or "")


def test_weights_of_operators_without_8_bits_are_told():
    weight = numpy_helper.from_array(np.zeros((1, 96, 32), np.float32), "w")
    model = make_model(
        [helper.make_node("GRU", ["x", "w", "w"], ["y"])], [("x", [1])], [("y", [1])], [weight]
    )
    assert why_nothing_to_gain(read_facts(model)) is None
    assert "GRU" in (why_no_int8(read_facts(model)) or "")


def test_file_is_as_large_as_all_its_files(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(make_network(), path)
    whole = file_bytes(path)
    assert whole == path.stat().st_size
    onnx.save(make_network(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert file_bytes(path) == path.stat().st_size + (tmp_path / "w.bin").stat().st_size > 0.9 * whole


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04pickle"])
def test_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(PipelineError, match=r"m\.onnx"):
        load_model(tmp_path / "m.onnx")
    with pytest.raises(PipelineError, match=r"missing\.onnx"):
        load_model(tmp_path / "missing.onnx")
