"""What an ONNX file consists of, as far as that decides what can make it smaller or faster."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, external_data_helper

from modelservice_pipeline.errors import PipelineError

_ITEM_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.DOUBLE: 8,
    TensorProto.FLOAT16: 2,
    TensorProto.BFLOAT16: 2,
}
_INT8_OPERATORS = ("Attention", "Conv", "EmbedLayerNormalization", "Gather", "Gemm", "LSTM", "MatMul")
"""Those whose weights `onnxruntime.quantization` turns into int8."""
_QUANTIZED_OPERATORS = frozenset(
    {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul", "MatMulBnb4", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",
        "QAttention", "QGemm", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    }
)  # fmt: skip
_TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
_LEAST_WEIGHT_BYTES = 4096
"""Whatever is done to fewer weights than that, the file and its speed stay what they are."""


@dataclass(frozen=True)
class GraphFacts:
    """What is in a file.

    Attributes:
        opset: The version of ONNX's own operators; 0 where the file names none.
        operators: How often each operator occurs, in subgraphs and functions too.
        weight_bytes: Float weights by the operator that reads them; weights of several count at the first.
        attribute_bytes: Numbers that operators of ai.onnx.ml keep as attributes, by operator.
    """

    opset: int
    operators: Counter[str]
    weight_bytes: Counter[str]
    attribute_bytes: Counter[str]

    @property
    def int8_bytes(self) -> int:
        """Weights that could become int8."""
        return sum(self.weight_bytes[name] for name in _INT8_OPERATORS)

    @property
    def quantized(self) -> int:
        """How many nodes are of quantized models."""
        return sum(count for name, count in self.operators.items() if name in _QUANTIZED_OPERATORS)


def load_model(path: Path) -> ModelProto:
    """Read a file with its external data. Raises PipelineError."""
    try:
        model = onnx.load(path)
    except FileNotFoundError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror or error}") from None
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise PipelineError(f"{path} is not a whole ONNX file: {error}") from None
    if not model.graph.node:
        raise PipelineError(f"{path} has no operators; give an ONNX file")
    return model


def file_bytes(path: Path) -> int:
    """Return the size of a file and of the external data that it names."""
    outside = set()
    for graph in _graphs_of(onnx.load(path, load_external_data=False)):
        for tensor in graph.initializer:
            if external_data_helper.uses_external_data(tensor):
                outside.add(path.parent / external_data_helper.ExternalDataInfo(tensor).location)
    return path.stat().st_size + sum(one.stat().st_size for one in outside)


def read_facts(model: ModelProto) -> GraphFacts:
    """Count operators and weights."""
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    nodes = [node for graph in _graphs_of(model) for node in graph.node]
    nodes += [node for function in model.functions for node in function.node]
    sizes = _weight_sizes(model)
    weights: Counter[str] = Counter()
    for node in nodes:
        for name in node.input:
            weights[node.op_type] += sizes.pop(name, 0)
    attributes: Counter[str] = Counter()
    for node in nodes:
        attributes[node.op_type] += sum(4 * len(one.floats) + 8 * len(one.ints) for one in node.attribute)
    return GraphFacts(opset, Counter(node.op_type for node in nodes), +weights, +attributes)


def why_nothing_to_gain(facts: GraphFacts) -> str | None:
    """Return why no candidate can be better than the model itself; None where one might be."""
    weights = sum(facts.weight_bytes.values())
    if facts.quantized and facts.int8_bytes < _LEAST_WEIGHT_BYTES:
        return (
            f"the model is quantized already: {facts.quantized} of its operators are those of quantized "
            "models, and no float weights are left that could become int8"
        )
    if any(name in facts.operators for name in _TREES) and weights < _LEAST_WEIGHT_BYTES:
        return (
            "the model is an ensemble of trees, for which there are no smaller or faster kernels; "
            "train it with fewer or shallower trees, or try a network of your own with --script"
        )
    if weights < _LEAST_WEIGHT_BYTES:
        return (
            f"the model has {weights} bytes of float weights{_say_attributes(facts)}; nothing can be smaller"
        )
    return None


def _say_attributes(facts: GraphFacts) -> str:
    """Say where a model's numbers are instead, where there are many."""
    for name, size in facts.attribute_bytes.most_common(1):
        if size >= _LEAST_WEIGHT_BYTES:
            return f", and {size} bytes of attributes of {name}, which has no kernels of 8 bits"
    return ""


def why_no_int8(facts: GraphFacts) -> str | None:
    """Return why int8 changes nothing here; None where it may."""
    if facts.quantized:
        return f"{facts.quantized} operators are quantized already"
    if facts.int8_bytes < _LEAST_WEIGHT_BYTES:
        readers = ", ".join(name for name, _ in facts.weight_bytes.most_common(3)) or "none"
        return f"operators with int8 kernels have no weights worth it (the weights are read by: {readers})"
    return None


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs in a node's attributes, as Loop, Scan and If have them."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all graphs within."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def _graphs_of(model: ModelProto) -> list[GraphProto]:
    return list(all_graphs(model.graph))


def _weight_sizes(model: ModelProto) -> dict[str, int]:
    sizes = {}
    for graph in _graphs_of(model):
        tensors = [(tensor.name, tensor) for tensor in graph.initializer]
        tensors += [(node.output[0], constant) for node, constant in constants(graph)]
        for name, tensor in tensors:
            count = 1
            for size in tensor.dims:
                count *= size
            sizes[name] = count * _ITEM_BYTES.get(tensor.data_type, 0)
    return sizes


def constants(graph: GraphProto) -> list[tuple[NodeProto, TensorProto]]:
    """Return the Constant nodes of a graph that hold a tensor, and the tensors."""
    return [
        (node, node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value"
    ]
