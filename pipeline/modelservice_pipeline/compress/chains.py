"""Finds dense layers that follow each other in a graph, and puts smaller ones in their place.

A chain is what exporters make of `Linear, ReLU, Linear, ...`: MatMul or Gemm with a constant matrix, an Add
of a constant bias, an activation. Nothing else may read what lies between, or the weights themselves.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from modelservice_pipeline.compress.dense import ACTIVATIONS, Array, Layer

_PASSES = ("Dropout", "Identity")


@dataclass(frozen=True)
class Chain:
    """Layers of a graph.

    Attributes:
        source: The tensor that the first layer reads, [..., inputs].
        result: The tensor that the last layer makes, before any activation of its own.
        layers: As they are in the file.
        nodes: Names of the nodes that they are made of.
    """

    source: str
    result: str
    layers: tuple[Layer, ...]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class _Product:
    """A layer without its activation."""

    layer: Layer
    source: str
    result: str
    nodes: tuple[str, ...]


class _Reader:
    """The main graph, by who reads what."""

    def __init__(self, graph: GraphProto) -> None:
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {port.name for port in graph.output}
        self._readers: dict[str, list[NodeProto]] = {}
        self.uses: Counter[str] = Counter()
        for node in graph.node:
            for name in _names_read(node):
                self.uses[name] += 1
                self._readers.setdefault(name, []).append(node)

    def only_reader(self, name: str) -> NodeProto | None:
        """Return the node that alone reads a tensor that is no output."""
        if name in self.outputs or self.uses[name] != 1:
            return None
        return self._readers[name][0]

    def own_constant(self, name: str, dimensions: int) -> Array | None:
        """Return a float32 weight that nothing else reads."""
        tensor = self.constants.get(name)
        if tensor is None or self.uses[name] != 1:
            return None
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.ndim != dimensions:
            return None
        return array


def find_chains(model: ModelProto) -> tuple[Chain, ...]:
    """Return the chains of two layers and more in a model's main graph, in its order."""
    reader = _Reader(model.graph)
    products = {}
    for node in model.graph.node:
        product = _read_product(node, reader)
        if product is not None:
            products[product.nodes[0]] = product
    chains = []
    taken: set[str] = set()
    for first in products.values():
        if first.nodes[0] not in taken:
            chain = _follow(first, products, reader)
            taken.update(chain.nodes)
            if len(chain.layers) > 1:
                chains.append(chain)
    return tuple(chains)


def replace_chain(model: ModelProto, chain: Chain, layers: tuple[Layer, ...]) -> None:
    """Put layers in the place of a chain, in the model itself; they take and give the same tensors."""
    graph = model.graph
    position = next(index for index, node in enumerate(graph.node) if node.name == chain.nodes[0])
    old = set(chain.nodes)
    kept = [node for node in graph.node if node.name not in old]
    position -= sum(1 for node in list(graph.node)[:position] if node.name in old)
    made = [node for index, layer in enumerate(layers) for node in _make_nodes(chain, layers, index, layer)]
    nodes = [*kept[:position], *made, *kept[position:]]
    del graph.node[:]
    graph.node.extend(nodes)
    for index, layer in enumerate(layers):
        for array, name in zip((layer.weight, layer.bias), _weight_names(chain, index), strict=True):
            graph.initializer.append(numpy_helper.from_array(array, name))
    drop_unused(graph)


def drop_unused(graph: GraphProto) -> None:
    """Remove initializers that nothing reads any more."""
    used = {name for node in graph.node for name in _names_read(node)} | {port.name for port in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _names_read(node: NodeProto) -> Iterable[str]:
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _names_read(inner)
            # What a subgraph hands out may be a tensor from outside.
            yield from (port.name for port in graph.output)


def _follow(product: _Product, products: dict[str, _Product], reader: _Reader) -> Chain:
    layers: list[Layer] = []
    nodes: list[str] = []
    source = product.source
    while True:
        nodes += product.nodes
        passed, activation, following = _next_product(product, products, reader)
        if following is None:
            layers.append(product.layer)
            return Chain(source, product.result, tuple(layers), tuple(nodes))
        layers.append(Layer(product.layer.weight, product.layer.bias, activation))
        nodes += passed
        product = following


def _next_product(
    product: _Product, products: dict[str, _Product], reader: _Reader
) -> tuple[list[str], str, _Product | None]:
    """Walk from a product through one activation to the next one; None where there is none."""
    passed: list[str] = []
    activation = ""
    node = reader.only_reader(product.result)
    while node is not None:
        if node.name in products and products[node.name].source == node.input[0]:
            return passed, activation, products[node.name]
        if node.op_type in ACTIVATIONS and not activation:
            activation = node.op_type
        elif node.op_type not in _PASSES or len([name for name in node.input if name]) != 1:
            break
        passed.append(node.name)
        node = reader.only_reader(node.output[0])
    return [], "", None


def _read_product(node: NodeProto, reader: _Reader) -> _Product | None:
    if node.op_type == "Gemm":
        return _read_gemm(node, reader)
    if node.op_type != "MatMul":
        return None
    weight = reader.own_constant(node.input[1], 2)
    if weight is None:
        return None
    bias: Array = np.zeros(weight.shape[1], np.float32)
    result, nodes = node.output[0], [node.name]
    addition = reader.only_reader(result)
    if addition is not None and addition.op_type == "Add":
        name = next((name for name in addition.input if name != result), "")
        added = reader.own_constant(name, 1)
        if added is not None and added.shape == bias.shape:
            bias, result = added, addition.output[0]
            nodes.append(addition.name)
    return _Product(Layer(weight, bias), node.input[0], result, tuple(nodes))


def _read_gemm(node: NodeProto, reader: _Reader) -> _Product | None:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    weight = reader.own_constant(node.input[1], 2)
    if (
        weight is None
        or attributes.get("transA")
        or any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
    ):
        return None
    weight = np.ascontiguousarray(weight.T) if attributes.get("transB") else weight
    bias = np.zeros(weight.shape[1], np.float32)
    if len(node.input) > 2 and node.input[2]:
        added = reader.own_constant(node.input[2], 1)
        if added is None or added.shape != bias.shape:
            return None
        bias = added
    return _Product(Layer(weight, bias), node.input[0], node.output[0], (node.name,))


def _make_nodes(chain: Chain, layers: tuple[Layer, ...], index: int, layer: Layer) -> list[NodeProto]:
    name = f"{chain.result}/{index}"
    source = chain.source if index == 0 else f"{chain.result}/layer{index - 1}"
    last = index == len(layers) - 1
    result = chain.result if last else f"{chain.result}/layer{index}"
    product, added = f"{name}/product", f"{name}/added" if layer.activation else result
    weight, bias = _weight_names(chain, index)
    # MatMul and Add, for Gemm takes matrices alone and a layer may read [batch, words, units].
    nodes = [
        helper.make_node("MatMul", [source, weight], [product], f"{name}/MatMul"),
        helper.make_node("Add", [product, bias], [added], f"{name}/Add"),
    ]
    if layer.activation:
        nodes.append(helper.make_node(layer.activation, [added], [result], f"{name}/{layer.activation}"))
    return nodes


def _weight_names(chain: Chain, index: int) -> tuple[str, str]:
    return f"{chain.result}/weight{index}", f"{chain.result}/bias{index}"
