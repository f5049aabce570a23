"""Whether the graph that the builder made is a plain decoder, as the server takes it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx

_ATTENTION = "GroupQueryAttention"
_BRANCHES = ("If", "Loop", "Scan")
_EXPERTS = ("MoE", "QMoE")


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


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
