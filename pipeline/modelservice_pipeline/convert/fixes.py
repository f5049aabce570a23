"""What every converted model gets, so that it loads and answers the same in every server.

Converters differ in what they leave behind: maps in place of tensors, a locale that containers lack, an opset
named twice, a first dimension that is not called a batch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper, version_converter

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.compare import count_rows
from modelservice_pipeline.proof.proof import Case

BATCH = "batch"
# What ONNX Runtime 1.22 reads, the oldest that the server takes.
_MAX_OPSETS = {"": 22, "ai.onnx.ml": 4}
_MAX_IR_VERSION = 10
# The one locale that every container has.
_LOCALE = b"C.UTF-8"
# As exporters name what has no name.
_NO_NAME = re.compile(r"|unk_.*|[sN]\d*|None|\?|dim_?\d+|.*_dynamic_axes_\d+|u\d+")


def fix(model: onnx.ModelProto, cases: Sequence[Case], metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Return the model mended, with `metadata` in it. Raises PipelineError.

    Args:
        model: What a converter made; it is changed.
        cases: Runs, which show the shapes it has.
        metadata: What the file shall tell of itself.
    """
    remove_zip_maps(model.graph)
    set_locale(model.graph)
    unite_opsets(model)
    model = lower_opset(model)
    name_batch(model.graph, cases)
    model.ir_version = min(model.ir_version, _MAX_IR_VERSION)
    for name, value in metadata.items():
        for old in [one for one in model.metadata_props if one.key == name]:
            model.metadata_props.remove(old)
        model.metadata_props.add(key=name, value=value)
    return model


def remove_zip_maps(graph: onnx.GraphProto) -> None:
    """Make tensors of outputs that are lists of maps, which no protocol carries."""
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        source, target = node.input[0], node.output[0]
        classes = sum(len(attribute.ints) + len(attribute.strings) for attribute in node.attribute)
        graph.node.remove(node)
        rename_value(graph, source, target)
        for output in graph.output:
            if output.name == target:
                output.CopyFrom(helper.make_tensor_value_info(target, TensorProto.FLOAT, [BATCH, classes]))


def rename_value(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename what nodes of a graph read and write; the graph's own inputs and outputs are the caller's."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def set_locale(graph: onnx.GraphProto) -> None:
    """Give every StringNormalizer the locale that is always there; without one it asks for en_US."""
    for node in _nodes(graph):
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", _LOCALE)])


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def unite_opsets(model: onnx.ModelProto) -> None:
    """Name every domain once, with the newest version it is named with, and the default one in any case."""
    versions = {"": 1}
    for opset in model.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        versions[domain] = max(versions.get(domain, 1), opset.version)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())


def lower_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring the operators down to what the server takes. Raises PipelineError."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if versions[""] <= _MAX_OPSETS[""]:
        return model
    try:
        return version_converter.convert_version(model, _MAX_OPSETS[""])
    except Exception as error:  # noqa: BLE001 - a class of its C++ side
        raise PipelineError(
            f"the model uses opset {versions['']} and cannot be brought to {_MAX_OPSETS['']}, which servers "
            f"take: {str(error).splitlines()[0]}; export it with an older opset"
        ) from None


def name_batch(graph: onnx.GraphProto, cases: Sequence[Case]) -> None:
    """Call the first dimension a batch where it is one, and let no output claim another size than it has."""
    initializers = {tensor.name for tensor in graph.initializer}
    renamed = {}
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in initializers and sizes and not sizes[0].dim_value:
            old = sizes[0].dim_param
            if _NO_NAME.fullmatch(old):
                renamed[old] = BATCH
                sizes[0].dim_param = BATCH
    for output in graph.output:
        shapes = [case.outputs[output.name].shape for case in cases if output.name in case.outputs]
        if shapes and output.type.HasField("tensor_type"):
            _mend_shape(output.type.tensor_type, shapes, [count_rows(case) for case in cases], renamed)


def _mend_shape(
    tensor: Any, shapes: list[tuple[int, ...]], rows: list[int | None], renamed: Mapping[str, str]
) -> None:
    rank = len(shapes[0])
    if len(tensor.shape.dim) != rank:
        del tensor.shape.dim[:]
        tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in range(rank))
    for axis, size in enumerate(tensor.shape.dim):
        seen = {shape[axis] for shape in shapes}
        follows_rows = axis == 0 and len(set(rows)) > 1 and [shape[0] for shape in shapes] == rows
        if follows_rows and (size.HasField("dim_value") or _NO_NAME.fullmatch(size.dim_param)):
            size.dim_param = BATCH
        elif size.HasField("dim_value") and seen != {size.dim_value}:
            size.Clear()
        elif size.dim_param and size.dim_param in renamed:  # without a name it may be anything
            size.dim_param = renamed[size.dim_param]
