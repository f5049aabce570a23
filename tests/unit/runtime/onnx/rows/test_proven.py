"""Graphs as exporters write them: each is proven, and gives a row the same answer alone and among others."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.runtime.onnx.rows.differential import ROWS, Array, find_difference, open_session
from tests.unit.runtime.onnx.rows.graph_texts import obstacle, parse, read_cases

# The size of every dimension without a number.
SIZE = 3
GRAPHS = read_cases("proven.txt")


def make_inputs(model: onnx.ModelProto) -> dict[str, Array]:
    """Rows that all differ, for every input that a request sends."""
    random = np.random.default_rng(7)
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: _random_rows(value.type.tensor_type, random)
        for value in model.graph.input
        if value.name not in constants
    }


def _random_rows(tensor: onnx.TypeProto.Tensor, random: np.random.Generator) -> Array:
    shape = (ROWS, *(dim.dim_value or SIZE for dim in tensor.shape.dim[1:]))
    if tensor.elem_type == TensorProto.STRING:
        texts = ["a b", "b", "c apb a a", "a b c", "bpa pb"]
        return np.array([texts[i % len(texts)] for i in range(int(np.prod(shape)))], dtype=object).reshape(
            shape
        )
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if np.issubdtype(dtype, np.floating):
        values: Array = random.normal(size=shape).astype(dtype)
        return values
    return random.integers(0, 3, shape).astype(dtype)


def check(model: onnx.ModelProto, inputs: Mapping[str, Array] | None = None) -> None:
    assert obstacle(model) is None
    assert find_difference(open_session(model), inputs or make_inputs(model)) is None


@pytest.mark.parametrize("case", GRAPHS)
def test_graph_of_an_exporter_is_proven_and_runs_alike_in_batches(case: str) -> None:
    opset, graph = GRAPHS[case]
    check(parse(graph, int(opset or 17)))
