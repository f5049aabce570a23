"""What a session takes and gives, as the protocols have it: tensors of known datatypes."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from modelservice_runtime.errors import InvalidRequestError, ModelRejectedError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.onnx.errors import RUN_ERRORS
from modelservice_runtime.onnx.graph.compound_outputs import (
    Convert,
    find_label_obstacle,
    serve_maps,
    serve_tensors,
)
from modelservice_runtime.onnx.graph.scan import ModelScan
from modelservice_runtime.onnx.made_up import MAX_ELEMENTS as MAX_MADE_UP_ELEMENTS
from modelservice_runtime.onnx.made_up import count_inputs, first_recipes, make_inputs
from modelservice_runtime.tensors import (
    DATATYPES,
    MAX_ELEMENTS,
    MAX_RANK,
    Datatype,
    TensorSpec,
    count_elements,
)

# An `onnxruntime.InferenceSession`, which only few modules may import.
Session: TypeAlias = Any

_DATATYPE_BY_ORT_TYPE: dict[str, Datatype] = {
    f"tensor({ort_name})": DATATYPES[name]
    for ort_name, name in {
        "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
        "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
        "float16": "FP16", "bfloat16": "BF16", "float": "FP32", "double": "FP64", "string": "BYTES",
    }.items()
}  # fmt: skip

_SEQUENCE = re.compile(r"seq\((tensor\(\w+\))\)")
_MAPS = re.compile(r"seq\(map\((?:int64|string),tensor\(float\)\)\)")


def describe_session(
    session: Session, name: str, version: str, scan: ModelScan
) -> tuple[ModelSpec, dict[str, Convert]]:
    """The signature, and what makes the tensors that are served for outputs that are none.

    Raises ModelRejectedError.
    """
    inputs = []
    for node in session.get_inputs():
        spec = _tensor_spec(node, scan)
        if spec is None:
            raise ModelRejectedError(
                f"input {node.name!r} has the type {node.type}, which no protocol can send; "
                "export the model with tensors of booleans, strings or numbers of 8 to 64 bits as inputs"
            )
        inputs.append(spec)
    outputs: list[TensorSpec] = []
    compound: dict[str, Convert] = {}
    left_out: dict[str, str] = {}
    for node in session.get_outputs():
        served = (
            _plain_scores(node, scan)
            or _tensor_spec(node, scan)
            or _serve_compound(session, inputs, node, scan)
        )
        if isinstance(served, str):
            left_out[node.name] = served
        elif isinstance(served, TensorSpec):
            outputs.append(served)
        else:
            outputs.append(served[0])
            compound[node.name] = served[1]
    if not outputs:
        raise ModelRejectedError(
            "no output of the model can be served: "
            + "; ".join(f"{output!r} is {reason}" for output, reason in list(left_out.items())[:5])
            + "; export it with tensor outputs (for scikit-learn: zipmap=False)"
        )
    return ModelSpec(name, version, tuple(inputs), tuple(outputs), left_out), compound


def _plain_scores(node: Any, scan: ModelScan) -> TensorSpec | None:
    """The scores of a ZipMap that was taken out of the model (`zip_map.without_zip_maps`)."""
    labels = scan.class_labels.get(node.name)
    if labels is None or node.type != "tensor(float)":
        return None
    return serve_maps(node.name, labels)[0]


def _serve_compound(
    session: Session, inputs: Sequence[TensorSpec], node: Any, scan: ModelScan
) -> tuple[TensorSpec, Convert] | str:
    """The tensor that is served for an output that is none, or what it is where there is no such tensor."""
    if any(value.type == "tensor(bfloat16)" for value in (*session.get_inputs(), *session.get_outputs())):
        return f"of the type {node.type}, in a model with BF16 tensors"
    if _MAPS.fullmatch(node.type):
        labels = scan.class_labels.get(node.name, ())
        return find_label_obstacle(labels) or serve_maps(node.name, labels)
    sequence = _SEQUENCE.fullmatch(node.type)
    datatype = _DATATYPE_BY_ORT_TYPE.get(sequence.group(1)) if sequence else None
    if datatype is None:
        return f"of the type {node.type}, which no protocol can carry"
    served = serve_tensors(node.name, datatype)
    return _find_sequence_obstacle(session, inputs, node.name, served[1]) or served


def _find_sequence_obstacle(
    session: Session, inputs: Sequence[TensorSpec], name: str, convert: Convert
) -> str | None:
    """Run the model once: why this output is no tensor although it might be, or None."""
    for recipe in first_recipes(inputs, {}):
        if count_inputs(inputs, recipe) > MAX_MADE_UP_ELEMENTS:
            continue
        try:
            (output,) = session.run([name], make_inputs(inputs, recipe))
            convert(output)
        except InvalidRequestError:
            return "a sequence of tensors of different shapes"
        except RUN_ERRORS:
            continue
        return None
    return None


def _tensor_spec(node: Any, scan: ModelScan) -> TensorSpec | None:
    datatype = _DATATYPE_BY_ORT_TYPE.get(node.type)
    if datatype is None:
        return None
    if node.name in scan.unranked and not node.shape:
        return TensorSpec(node.name, datatype, None)
    shape = tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape)
    elements = count_elements([dimension for dimension in shape if dimension > 0])
    if len(shape) > MAX_RANK or elements > MAX_ELEMENTS:
        raise ModelRejectedError(
            f"{node.name!r} has the shape {list(shape)}, which no request or answer can carry"
        )
    symbols = tuple(d if isinstance(d, str) else None for d in node.shape)
    return TensorSpec(node.name, datatype, shape, symbols)
