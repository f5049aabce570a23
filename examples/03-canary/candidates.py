"""The versions that follow the first one: a better one, and three that clients should never notice."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Some 20 ms of a core, where the rest of the model takes less than one.
SLOW_STEPS = 20_000


@dataclass(frozen=True)
class Candidate:
    """One change of the model: `make` gives its file, from that of the good one."""

    version: str
    what: str
    make: Callable[[bytes], bytes]
    is_good: bool = False


def make_slow(good: bytes) -> bytes:
    """The same answers, after a loop that nobody needs."""
    model = onnx.load_from_string(good)
    graph = model.graph
    for name, value in (("slow_steps", SLOW_STEPS), ("slow_zero", 0.0), ("slow_true", True)):
        dtype = {int: np.int64, float: np.float32, bool: np.bool_}[type(value)]
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["go_on_out"]),
            helper.make_node("Add", ["sum", "slow_zero"], ["sum_out"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("step", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on_out", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", onnx.TensorProto.FLOAT, []),
        ],
    )
    place, sigmoid = next((i, node) for i, node in enumerate(graph.node) if node.op_type == "Sigmoid")
    late = [
        helper.make_node("Loop", ["slow_steps", "slow_true", "slow_zero"], ["nothing"], body=body),
        helper.make_node("Add", [sigmoid.input[0], "nothing"], ["late_logit"]),
    ]
    sigmoid.input[0] = "late_logit"
    for node in reversed(late):
        graph.node.insert(place, node)
    return _checked(model)


def make_dividing_by_zero(good: bytes) -> bytes:
    """Without the small number that keeps the division defined for a message that has no words."""
    model = onnx.load_from_string(good)
    epsilon = next(one for one in model.graph.initializer if one.name == "norm_epsilon")
    epsilon.CopyFrom(numpy_helper.from_array(np.array(0, dtype=np.float32), "norm_epsilon"))
    return _checked(model)


def make_renamed(good: bytes) -> bytes:
    """Its input is called `message`, no longer `text`: whoever sends `text` gets an error."""
    model = onnx.load_from_string(good)
    model.graph.input[0].name = "message"
    for node in model.graph.node:
        node.input[:] = ["message" if name == "text" else name for name in node.input]
    return _checked(model)


def _checked(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


CANDIDATES = (
    Candidate("2", "better", lambda good: good, is_good=True),
    Candidate("3", "slow", make_slow),
    Candidate("4", "answers NaN", make_dividing_by_zero),
    Candidate("5", "other input", make_renamed),
)
