"""A model may be named by its folder."""

import onnx
import pytest
from onnx import TensorProto, helper

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel


def save(path):
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])] for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", *ports)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def test_folder_with_one_model_is_that_model(tmp_path):
    save(tmp_path / "model.onnx")
    model = OnnxModel(tmp_path)
    assert [port.name for port in model.inputs] == ["x"]
    assert model.path == tmp_path / "model.onnx"


def test_folder_with_none_or_several_is_told(tmp_path):
    with pytest.raises(PipelineError, match=r"other than one ONNX file \(none\)"):
        OnnxModel(tmp_path)
    save(tmp_path / "a.onnx")
    save(tmp_path / "b.onnx")
    with pytest.raises(PipelineError, match=r"\(a.onnx, b.onnx\); name the file"):
        OnnxModel(tmp_path)
