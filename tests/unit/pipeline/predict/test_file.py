from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelservice_pipeline.model.session import OnnxModel
from modelservice_pipeline.predict.file import FilePredictor


def save(
    path: Path, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto
) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, [output])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 600])
def test_a_model_that_takes_a_fixed_number_of_rows_answers_any(tmp_path: Path, rows: int) -> None:
    shape = [3, 2]
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        helper.make_tensor_value_info("y", TensorProto.FLOAT, shape),
    )
    values = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    np.testing.assert_array_equal(FilePredictor(OnnxModel(path)).predict({"x": values})["y"], 2 * values)


def test_the_maps_of_a_zipmap_become_columns(tmp_path: Path) -> None:
    output = helper.make_value_info(
        "y",
        helper.make_sequence_type_proto(
            helper.make_map_type_proto(
                TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
            )
        ),
    )
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        output,
    )
    values = np.array([[1, 2], [3, 4]] * 200, dtype=np.float32)
    np.testing.assert_array_equal(FilePredictor(OnnxModel(path)).predict({"x": values})["y"], values)
