"""The graph that the builder made: whether it is a plain decoder, as the server takes it, and its places."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_ATTENTION = "GroupQueryAttention"
_BRANCHES = ("If", "Loop", "Scan")
_EXPERTS = ("MoE", "QMoE")
_PLACES = "logits_places"


def find_fault(model: onnx.ModelProto, layers: int) -> str:
    """Say what the server would not take of a graph with so many layers; empty where it takes all."""
    nodes = model.graph.node
    kinds = Counter(node.op_type for node in nodes)
    if kinds[_ATTENTION] != layers:
        return f"{kinds[_ATTENTION]} of its {layers} layers attend by {_ATTENTION}"
    for unsupported, what in (
        (_BRANCHES, "takes one way or another"),
        (_EXPERTS, "routes tokens to experts"),
    ):
        if found := [kind for kind in unsupported if kinds[kind]]:
            return f"its graph {what} ({found[0]})"
    if any(
        _attributes(node).get("local_window_size", -1) > 0 for node in nodes if node.op_type == _ATTENTION
    ):
        return "its graph attends through a sliding window"
    return ""


def open_places(model: onnx.ModelProto) -> bool:
    """Let the graph be asked for logits of other places than the last, by an optional input; tells if it can.

    The builder takes the last state by Gather and Unsqueeze. The output stays declared as one place, by which
    onnxruntime-genai knows that its prompts have logits of one.
    """
    graph = model.graph
    taken, kept = _before_logits(graph)
    if (taken.op_type, kept.op_type) != ("Gather", "Unsqueeze") or _attributes(taken).get("axis") != 1:
        return False
    taken.input[1], taken.output[0] = _PLACES, kept.output[0]
    graph.node.remove(kept)
    graph.input.append(helper.make_tensor_value_info(_PLACES, TensorProto.INT64, [_PLACES]))
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), _PLACES))
    return True


def _before_logits(graph: onnx.GraphProto) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """The two nodes before the last matrix: behind it there may be a cast or a scale."""
    by_output = {name: node for node in graph.node for name in node.output}
    node = by_output["logits"]
    while not node.op_type.startswith("MatMul") and node.input[0] in by_output:
        node = by_output[node.input[0]]
    kept = by_output.get(node.input[0], node)
    return by_output.get(kept.input[0], kept), kept


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
