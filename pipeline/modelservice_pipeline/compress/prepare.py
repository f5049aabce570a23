"""Brings a graph into the form that quantizing and pruning expect; its answers stay the same."""

from onnx import GraphProto, ModelProto

from modelservice_pipeline.compress.graph import all_graphs, constants


def prepare(model: ModelProto) -> ModelProto:
    """Return a copy with weights as initializers, nodes with names of their own, and no remembered shapes.

    PaddlePaddle and older exporters write weights as Constant nodes. Quantizing tells nodes apart by
    their names, which files may lack or repeat. Shapes that an earlier optimizer wrote are wrong after it
    changed the graph, and shape inference stops at the first contradiction.
    """
    prepared = ModelProto()
    prepared.CopyFrom(model)
    taken: set[str] = set()
    for graph in all_graphs(prepared.graph):
        _hoist_constants(graph)
        _name_nodes(graph, taken)
        del graph.value_info[:]
    return prepared


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
