"""Bodies that a given model answers, for the document; pure."""

from collections.abc import Callable, Sequence
from typing import Any

from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.oip.routes import Endpoint
from modelservice_runtime.protocols.tfs.examples import find_float_output
from modelservice_runtime.protocols.tfs.routes import TfsEndpoint
from modelservice_runtime.tensors import BOOL, BYTES, TensorSpec, count_elements

# Nobody reads an image of ones.
_MAX_ELEMENTS = 64


def find_example(operation_name: str, specs: Sequence[ModelSpec]) -> tuple[ModelSpec, Any] | None:
    """The first model that can show the operation, and a body of one row that it answers (None: no body)."""
    make = _BODIES.get(operation_name)
    if make is None:
        return (specs[0], None) if specs else None
    for spec in specs:
        if sum(count_elements(_shape(tensor)) for tensor in spec.inputs) <= _MAX_ELEMENTS:
            body = make(spec)
            if body is not None:
                return spec, body
    return None


def _infer_request(spec: ModelSpec) -> dict[str, Any]:
    return {
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype.name,
                "shape": _shape(tensor),
                "data": [_value(tensor)] * count_elements(_shape(tensor)),
            }
            for tensor in spec.inputs
        ]
    }


def _predict_request(spec: ModelSpec) -> dict[str, Any]:
    return {"inputs": {tensor.name: _nested(_value(tensor), _shape(tensor)) for tensor in spec.inputs}}


def _classify_request(spec: ModelSpec) -> dict[str, Any] | None:
    scores = find_float_output(spec, "scores")
    return None if scores is None or len(scores.public_shape) != 2 else _features(spec)


def _regress_request(spec: ModelSpec) -> dict[str, Any] | None:
    values = find_float_output(spec, "outputs")
    return None if values is None or values.public_shape[1:] not in ([], [1]) else _features(spec)


def _features(spec: ModelSpec) -> dict[str, Any]:
    example = {tensor.name: [_value(tensor)] * count_elements(_shape(tensor)[1:]) for tensor in spec.inputs}
    return {"examples": [example]}


_BODIES: dict[str, Callable[[ModelSpec], dict[str, Any] | None]] = {
    Endpoint.INFER.name: _infer_request,
    TfsEndpoint.PREDICT.name: _predict_request,
    TfsEndpoint.CLASSIFY.name: _classify_request,
    TfsEndpoint.REGRESS.name: _regress_request,
}


def _shape(tensor: TensorSpec) -> list[int]:
    return [1 if dimension == -1 else dimension for dimension in tensor.public_shape]


def _value(tensor: TensorSpec) -> object:
    if tensor.datatype is BYTES:
        return "text"
    if tensor.datatype is BOOL:
        return True
    return 1.0 if tensor.datatype.is_float else 1


def _nested(value: object, shape: list[int]) -> object:
    for dimension in reversed(shape):
        value = [value] * dimension
    return value
