"""Brings a graph into the form that quantizing and pruning expect; its answers stay the same."""

from pathlib import Path

from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from modelservice_pipeline.compress.graph import all_graphs, constants
from modelservice_pipeline.compress.write import write_model
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import OnnxModel

_IR_VERSION = 4
"""The first in which weights need not be inputs."""
_ELEMENT_TYPES = {
    "bool": TensorProto.BOOL,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "int8": TensorProto.INT8,
    "object": TensorProto.STRING,
    "uint8": TensorProto.UINT8,
}


def prepare(model: ModelProto, path: Path) -> ModelProto:
    """Return a copy of a model that is easier to change, and write it to a path.

    Weights become initializers and nothing else: PaddlePaddle and older exporters write them as Constant
    nodes, and files of before 2019 list them among the inputs, where requests may replace them. Nodes get
    names of their own, by which quantizing tells them apart. Shapes that an earlier optimizer remembered are
    dropped, for they are wrong after it changed the graph, and shape inference stops at the first
    contradiction. Types of tensors are those that ONNX Runtime finds: shape inference knows no operators of
    com.microsoft, and crashes where ai.onnx.ml reads from one of them.
    """
    prepared = ModelProto()
    prepared.CopyFrom(model)
    _fix_weights(prepared)
    taken: set[str] = set()
    for graph in all_graphs(prepared.graph):
        _hoist_constants(graph)
        _name_nodes(graph, taken)
        del graph.value_info[:]
    prepared.graph.value_info.extend(_find_types(prepared, path))
    write_model(prepared, path)
    return prepared


def _fix_weights(model: ModelProto) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _IR_VERSION)


def _hoist_constants(graph: GraphProto) -> None:
    outputs = {port.name for port in graph.output}
    for node, tensor in constants(graph):
        if node.output[0] in outputs:
            continue
        weight = graph.initializer.add()
        weight.CopyFrom(tensor)
        weight.name = node.output[0]
        graph.node.remove(node)


def _name_nodes(graph: GraphProto, taken: set[str]) -> None:
    for node in graph.node:
        name, number = node.name or node.op_type, 0
        while name in taken or not (node.name or number):
            number += 1
            name = f"{node.name or node.op_type}_{number}"
        node.name = name
        taken.add(name)


def _find_types(model: ModelProto, path: Path) -> list[ValueInfoProto]:
    """Return the types of the tensors in the main graph, without shapes."""
    seeing = ModelProto()
    seeing.CopyFrom(model)
    known = {port.name for port in seeing.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                known.add(name)
                seeing.graph.output.add().name = name
    write_model(seeing, path)
    try:
        ports = OnnxModel(path).outputs
    except PipelineError:
        return []  # a graph that hands out no more than it did; shape inference has to do
    return [
        helper.make_tensor_value_info(port.name, _ELEMENT_TYPES[port.dtype], None)
        for port in ports
        if port.dtype in _ELEMENT_TYPES and port.name not in {one.name for one in model.graph.output}
    ]
