"""What an ONNX file says of itself, read without its weights and without running it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from modelservice_pipeline.errors import PipelineError

# ModelPack's words for what weights are made of; others are left out.
_PRECISIONS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.FLOAT8E4M3FN: "float8_e4m3",
    onnx.TensorProto.FLOAT8E5M2: "float8_e5m2",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
}
# Biases and scales are not what a model is made of.
_MIN_SHARE = 0.05


@dataclass(frozen=True)
class TensorFacts:
    """An input or output: its name, ONNX's name of its type, its sizes; text where they are named or free."""

    name: str
    datatype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxFacts:
    """What a file says.

    Attributes:
        external_files: Where weights lie, relative to the model's folder.
        parameters: How many numbers its weights have.
        precisions: What most of them are, the most first.
        opset: Of the standard operators; 0 where it uses none.
        inputs: Without those that have a value already.
        outputs: In their order.
    """

    external_files: tuple[str, ...]
    parameters: int
    precisions: tuple[str, ...]
    opset: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


def read_onnx(path: Path) -> OnnxFacts:
    """Read a model. Raises PipelineError where it is none."""
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except (DecodeError, ValueError):
        model = onnx.ModelProto()
    if not model.graph.output:
        raise PipelineError(f"{path} is not an ONNX model: expected a file that an exporter wrote")
    tensors = list(_tensors(model))
    counted = Counter[int]()
    for tensor in tensors:
        counted[tensor.data_type] += prod(tensor.dims)
    total = sum(counted.values())
    filled = {tensor.name for tensor in model.graph.initializer}
    return OnnxFacts(
        external_files=tuple(sorted({_location(one, path) for one in tensors if one.external_data})),
        parameters=total,
        precisions=tuple(
            _PRECISIONS[kind]
            for kind, count in counted.most_common()
            if kind in _PRECISIONS and count >= _MIN_SHARE * total
        ),
        opset=next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0),
        inputs=tuple(_facts(value) for value in model.graph.input if value.name not in filled),
        outputs=tuple(_facts(value) for value in model.graph.output),
    )


def _location(tensor: Any, path: Path) -> str:
    location = next((one.value for one in tensor.external_data if one.key == "location"), "")
    if not location:
        raise PipelineError(f"{path} keeps {tensor.name} in another file and does not say in which")
    return str(location)


def _tensors(model: Any) -> Iterator[Any]:
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if nodes:
            for attribute in nodes.pop().attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
        else:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node


def _facts(value: Any) -> TensorFacts:
    tensor = value.type.tensor_type
    datatype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type else "other"
    shape = tuple(
        size.dim_value if size.HasField("dim_value") else size.dim_param or "any" for size in tensor.shape.dim
    )
    return TensorFacts(value.name, datatype, shape)
