"""Lets a model whose table has categories take them as they are, in place of their codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from modelservice_pipeline.convert.inside.classical.estimators import Column


def take_categories(model: Any, columns: Mapping[str, Column]) -> None:
    """Give the model an input for each column, in place of its one table of numbers.

    A category that the model does not know is a missing one, as in its framework.
    """
    graph = model.graph
    table = graph.input[0].name
    del graph.input[:]
    nodes = []
    parts = []
    for name, column in columns.items():
        kind = TensorProto.STRING if column.is_text else TensorProto.FLOAT
        graph.input.append(helper.make_tensor_value_info(name, kind, [None, 1]))
        if column.categories is None:
            parts.append(name)
            continue
        keys = {"keys_strings": column.words} if column.is_text else {"keys_floats": column.numbers}
        codes = np.arange(len(column.words), dtype=np.float32).tolist()
        parts.append(f"{name}_code")
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [name],
                [parts[-1]],
                domain="ai.onnx.ml",
                values_floats=codes,
                default_float=float("nan"),
                **keys,
            )
        )
    nodes.append(helper.make_node("Concat", parts, [table], axis=1))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    for opset in model.opset_import:
        # LabelEncoder has floats since the second version.
        if opset.domain == "ai.onnx.ml":
            opset.version = max(opset.version, 2)
