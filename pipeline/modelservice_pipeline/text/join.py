"""Puts a tokenizer before a model of tokens, and a pooling behind it: one file that takes texts."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import version_converter

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.text.assemble import Encoded
from modelservice_pipeline.text.decoders import Spelling
from modelservice_pipeline.text.graph import FLOAT, INT64, OPSET, STRING, Graph, Value
from modelservice_pipeline.text.tokenizer import GraphTokenizer
from modelservice_pipeline.text.write import write_texts

POOLINGS = ("none", "mean", "cls", "last")
_MOST_BYTES = 2_000_000_000
"""A protobuf message ends at 2 GiB."""
# Operators that mean something else from opset 20 on; of opset 18 and 19 all others mean the same.
_CHANGED = frozenset({"AffineGrid", "DFT", "GridSample"})


@dataclass(frozen=True)
class Pooling:
    """What is made of the vectors of a text's tokens.

    Attributes:
        kind: "mean" of all, the first one ("cls"), the "last" one; "none" leaves the outputs as they are.
        normalize: Whether the vector is brought to length 1.
        output: The output of the model that is pooled; by default the first one.
    """

    kind: str = "none"
    normalize: bool = False
    output: str | None = None


def build_tokenizer(tokenizer: GraphTokenizer) -> onnx.ModelProto:
    """Return a model that answers the tokens of texts: input_ids and attention_mask."""
    graph = Graph("tokenizer")
    encoded = tokenizer.encode(graph, graph.input("text", STRING, ["N"]))
    graph.output("input_ids", encoded.ids, INT64, ["N", "S"])
    graph.output("attention_mask", encoded.mask, INT64, ["N", "S"])
    return graph.model()


def build_detokenizer(spelling: Spelling) -> onnx.ModelProto:
    """Return a model that answers the texts of tokens; negative numbers fill up."""
    graph = Graph("detokenizer")
    ids = graph.input("ids", INT64, ["N", "S"])
    graph.output("text", write_texts(graph, ids, spelling), STRING, ["N"])
    return graph.model()


def load_core(path: Path) -> onnx.ModelProto:
    """Read a model of tokens, in an opset that a graph of texts can have. Raises PipelineError."""
    try:
        core = onnx.load(path)
    except Exception as error:  # noqa: BLE001 - protobuf, files and external data have no common error
        raise PipelineError(f"{path} cannot be read as an ONNX model: {error}") from None
    if core.ByteSize() > _MOST_BYTES:
        raise PipelineError(f"{path} is larger than one file can be; 2 GB is the most")
    version = max(
        (opset.version for opset in core.opset_import if opset.domain in ("", "ai.onnx")), default=1
    )
    if version >= OPSET:
        return core
    if version >= 18 and not _CHANGED & {node.op_type for node in core.graph.node}:
        for opset in core.opset_import:
            opset.version = OPSET if opset.domain in ("", "ai.onnx") else opset.version
        return core
    try:
        return version_converter.convert_version(core, OPSET)
    except Exception as error:  # noqa: BLE001 - the converter raises RuntimeError and its own
        raise PipelineError(
            f"{path} has opset {version} and cannot be converted: {error}; export it with opset {OPSET}"
        ) from None


def token_inputs(core: onnx.ModelProto) -> dict[str, str]:
    """Return what each input of a model of tokens is for: ids, mask or types. Raises PipelineError."""
    constants = {tensor.name for tensor in core.graph.initializer}
    names = [value.name for value in core.graph.input if value.name not in constants]
    roles = {name: _role(name) for name in names}
    if len(names) == 1:
        roles = dict.fromkeys(names, "ids")
    for name, role in roles.items():
        if role is None:
            raise PipelineError(f"the model wants an input {name!r}, which no tokenizer gives")
    if list(roles.values()).count("ids") != 1:
        raise PipelineError(
            f"the model has no input for tokens, such as input_ids; it has {', '.join(names)}"
        )
    return {name: role for name, role in roles.items() if role is not None}


def _role(name: str) -> str | None:
    plain = name.lower()
    if "mask" in plain:
        return "mask"
    if "type" in plain or "segment" in plain:
        return "types"
    if "position" in plain:
        return None
    return "ids" if plain.split(":")[0].endswith(("ids", "tokens", "input")) else None


def join(tokenizer: GraphTokenizer, core: onnx.ModelProto, pooling: Pooling) -> onnx.ModelProto:
    """Return a model that takes texts. Raises PipelineError where the parts do not fit."""
    graph = Graph("text")
    encoded = tokenizer.encode(graph, graph.input("text", STRING, ["N"]))
    types = {value.name: value.type.tensor_type.elem_type for value in core.graph.input}
    values = {"ids": encoded.ids, "mask": encoded.mask, "types": encoded.mask - encoded.mask}
    feeds = {name: values[role].cast(types[name]) for name, role in token_inputs(core).items()}
    outputs = graph.include(core, feeds)
    if pooling.kind == "none":
        for value in core.graph.output:
            dims = ["N", *_dims(value)[1:]]
            graph.output(value.name, outputs[value.name], value.type.tensor_type.elem_type, dims)
        return graph.model()
    name = pooling.output or core.graph.output[0].name
    if name not in outputs:
        raise PipelineError(f"the model has no output {name!r}; it has {', '.join(outputs)}")
    width = _dims(next(value for value in core.graph.output if value.name == name))[-1]
    pooled = _pool(graph, outputs[name], encoded, pooling)
    graph.output("embedding", pooled, FLOAT, ["N", width if isinstance(width, int) else "D"])
    return graph.model()


def _dims(value: onnx.ValueInfoProto) -> list[int | str | None]:
    return [
        dimension.dim_value if dimension.HasField("dim_value") else (dimension.dim_param or None)
        for dimension in value.type.tensor_type.shape.dim
    ]


def _pool(graph: Graph, states: Value, encoded: Encoded, pooling: Pooling) -> Value:
    """Return one vector for each text, [N, D], of those of its tokens [N, S, D]."""
    states = states.cast(FLOAT)
    if pooling.kind == "mean":
        mask = encoded.mask.cast(FLOAT).unsqueeze(2)
        # As sentence-transformers: the least sum of a mask is 1e-9.
        pooled = (states * mask).sum(1) / graph.op("Max", mask.sum(1), 1e-9)
    else:
        places = graph.range(encoded.ids.size(1))
        numbers = graph.where(encoded.mask.equals(1), places, -1 if pooling.kind == "last" else 1 << 62)
        axis = 1
        which = graph.op("ArgMax" if pooling.kind == "last" else "ArgMin", numbers, axis=axis, keepdims=1)
        pooled = graph.op("GatherND", states, which, batch_dims=1)
    if pooling.normalize:
        length = graph.op("ReduceL2", pooled, graph.constant([1]), keepdims=1)
        pooled = pooled / graph.op("Max", length, 1e-12)
    return pooled
