"""Weights of 8 bits of graphs as exporters write them: a quarter of the size, nearly the same answers."""

import logging
import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.pipeline.compress.conftest import make_model, make_network, make_rows

from modelservice_pipeline.compress import quantize
from modelservice_pipeline.compress.graph import file_bytes
from modelservice_pipeline.compress.prepare import prepare
from modelservice_pipeline.compress.quantize import halve_floats, quantize_all, quantize_weights
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel

isolated = quantize._isolated


pytestmark = pytest.mark.usefixtures("quantizer_here")


def prepared(folder, model):
    before = model.SerializeToString()
    prepare(model, folder / "prepared.onnx")
    assert model.SerializeToString() == before
    onnx.save(model, folder / "a.onnx")
    return folder / "prepared.onnx"


def answer(path, rows):
    return OnnxModel(path).run({"x": rows})["p"]


def assert_alike(folder, rows, tolerance):
    before, after = (answer(folder / name, rows) for name in ("a.onnx", "b.onnx"))
    np.testing.assert_allclose(before, after, atol=tolerance)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("reduce_range", [False, True])
def test_weights_of_8_bits_are_a_quarter_and_answer_alike(tmp_path, per_channel, reduce_range):
    model = make_network((64, 256, 256, 4))
    source = prepared(tmp_path, model)
    quantize_weights(source, tmp_path / "b.onnx", per_channel=per_channel, reduce_range=reduce_range)
    assert file_bytes(tmp_path / "a.onnx") > 3.5 * file_bytes(tmp_path / "b.onnx")
    rows = make_rows(50, 64)
    np.testing.assert_allclose(
        answer(tmp_path / "a.onnx", rows), answer(tmp_path / "b.onnx", rows), atol=0.05
    )


def test_calibrated_model_is_a_quarter_and_answers_alike(tmp_path):
    source = prepared(tmp_path, make_network((64, 256, 256, 4)))
    rows = make_rows(50, 64)
    calibration = [{"x": rows[row : row + 1]} for row in range(50)]
    quantize_all(source, tmp_path / "b.onnx", calibration, reduce_range=False)
    assert file_bytes(tmp_path / "a.onnx") > 3.5 * file_bytes(tmp_path / "b.onnx")
    np.testing.assert_allclose(
        answer(tmp_path / "a.onnx", rows), answer(tmp_path / "b.onnx", rows), atol=0.05
    )


def test_old_file_with_weights_among_its_inputs_is_calibrated_by_channel(tmp_path):
    model = make_network((64, 256, 4))
    model.opset_import[0].version, model.ir_version = 11, 3
    model.graph.node[-1].attribute[0].i = 1
    for weight in model.graph.initializer:
        port = helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, list(weight.dims))
        model.graph.input.append(port)
    source, rows = prepared(tmp_path, model), make_rows(30, 64)
    assert [port.name for port in onnx.load(source).graph.input] == ["x"]
    quantize_all(source, tmp_path / "b.onnx", [{"x": rows}], reduce_range=False)
    assert_alike(tmp_path, rows, 0.05)
    scales = {tensor.name: list(tensor.dims) for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer}
    assert [256] in scales.values()


def test_floats_of_16_bits_keep_the_ports(tmp_path):
    model = make_network((64, 256, 4))
    halve_floats(prepared(tmp_path, model), tmp_path / "b.onnx")
    assert file_bytes(tmp_path / "a.onnx") > 1.9 * file_bytes(tmp_path / "b.onnx")
    assert OnnxModel(tmp_path / "a.onnx").outputs == OnnxModel(tmp_path / "b.onnx").outputs
    rows = make_rows(50, 64)
    np.testing.assert_allclose(
        answer(tmp_path / "a.onnx", rows), answer(tmp_path / "b.onnx", rows), atol=0.01
    )


def test_weights_in_constants_and_wrong_remembered_shapes_are_mended(tmp_path):
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["p"]),
    ]
    model = make_model(nodes, [("x", ["n", 64])], [("p", ["n", 64])], [])
    model.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["n", 7]))
    quantize_weights(prepared(tmp_path, model), tmp_path / "b.onnx", per_channel=False, reduce_range=False)
    assert file_bytes(tmp_path / "a.onnx") > 2 * file_bytes(tmp_path / "b.onnx")
    rows = make_rows(5, 64)
    np.testing.assert_allclose(
        answer(tmp_path / "a.onnx", rows), answer(tmp_path / "b.onnx", rows), atol=0.05
    )


def test_weight_of_two_readers_and_body_of_a_loop_become_8_bits(tmp_path):
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32) / 2, "w")
    inner = numpy_helper.from_array(np.eye(64, dtype=np.float32), "inner")
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "inner"], ["a"]),
            helper.make_node("MatMul", ["a", "w"], ["next"]),
            helper.make_node("Identity", ["go"], ["goes"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", 64]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ["n", 64]),
        ],
        [inner],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["first"]),
        helper.make_node("Loop", ["steps", "", "first"], ["p"], body=body),
    ]
    steps = numpy_helper.from_array(np.array(3), "steps")
    model = make_model(nodes, [("x", ["n", 64])], [("p", ["n", 64])], [weight, steps])
    quantize_weights(prepared(tmp_path, model), tmp_path / "b.onnx", per_channel=False, reduce_range=False)
    rows = make_rows(5, 64)
    np.testing.assert_allclose(
        answer(tmp_path / "a.onnx", rows), answer(tmp_path / "b.onnx", rows), atol=0.05
    )
    assert file_bytes(tmp_path / "a.onnx") > 2.5 * file_bytes(tmp_path / "b.onnx")


def test_silence_ends_with_the_quantizer(tmp_path, caplog):
    with pytest.raises(PipelineError, match="the quantizer cannot: "):
        halve_floats(tmp_path / "none.onnx", tmp_path / "b.onnx")
    logging.getLogger("afterwards").error("heard")
    assert caplog.messages == ["heard"]


def test_crash_and_error_of_the_quantizer_are_told(tmp_path):
    with pytest.raises(PipelineError, match="crashes on this graph"):
        isolated(os.abort)
    (tmp_path / "a.onnx").write_bytes(b"\x01")
    with pytest.raises(PipelineError, match="the quantizer cannot: "):
        isolated(quantize._halve_floats, tmp_path / "a.onnx", tmp_path / "b.onnx")
