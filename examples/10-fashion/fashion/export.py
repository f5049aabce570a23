"""The network as one ONNX graph: bytes of pictures in, names of clothing and probabilities out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR_VERSION = 20, 9


def build_graph(weights: Mapping[str, np.ndarray[Any, Any]], classes: Sequence[str]) -> onnx.ModelProto:
    """Return the graph: `image`, uint8 [N, 28, 28], to `label` [N] and `probabilities` [N, classes].

    `weights` are those of the network, by the names that torch gives them.
    """
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "white"], ["scaled"]),
        helper.make_node("Unsqueeze", ["scaled", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "0.weight", "0.bias"], ["edges"], pads=[1] * 4),
        helper.make_node("Relu", ["edges"], ["edges_on"]),
        helper.make_node("MaxPool", ["edges_on"], ["small"], **pool),
        helper.make_node("Conv", ["small", "3.weight", "3.bias"], ["parts"], pads=[1] * 4),
        helper.make_node("Relu", ["parts"], ["parts_on"]),
        helper.make_node("MaxPool", ["parts_on"], ["smaller"], **pool),
        helper.make_node("Flatten", ["smaller"], ["flat"]),
        helper.make_node("Gemm", ["flat", "7.weight", "7.bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["hidden_on"]),
        helper.make_node("Gemm", ["hidden_on", "10.weight", "10.bias"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "best"], ["label"]),
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()] + [
        numpy_helper.from_array(np.array(255, np.float32), "white"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        helper.make_tensor(
            "classes", TensorProto.STRING, [len(classes)], [name.encode() for name in classes]
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "fashion",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 28, 28])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)]),
        ],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
