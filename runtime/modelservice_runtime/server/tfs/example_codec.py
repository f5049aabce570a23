"""Classify and regress requests, made of examples with features, and their answers; pure.

TensorFlow models parse ``tf.Example`` themselves. Here the features named as the model's inputs become those
inputs, one row for each example; other features do not matter, as in TensorFlow.
Source: tensorflow/serving ``g3doc/api_rest.md``, ``util/json_tensor.cc``,
``servables/tensorflow/classifier.cc`` and ``regressor.cc``.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.server.json_codec import decode_tensor
from modelservice_runtime.server.tfs.json_tokens import decode_object_with_tokens
from modelservice_runtime.server.tfs.json_values import encode_answer, is_base64, make_rows
from modelservice_runtime.server.tfs.prepared_call import PreparedCall, check_signature_name
from modelservice_runtime.tensors import (
    BOOL,
    BYTES,
    Array,
    InferRequest,
    TensorSpec,
    check_shape,
    count_elements,
)

_RESULTS = "results"


def prepare_classify(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    """Decode a classify body. Raises InvalidRequestError and PayloadTooLargeError."""
    classes = spec.output_by_name.get("classes")
    if classes is not None and classes.datatype is not BYTES:
        classes = None
    scores = find_float_output(spec, "scores")
    wanted = [tensor for tensor in (scores, classes) if tensor is not None]
    if not wanted:
        raise InvalidRequestError(
            f"model '{spec.name}' cannot classify: that needs a float output 'scores', or just one float "
            "output, or a BYTES output 'classes'; use ':predict'"
        )
    inputs, count = _decode_examples(spec, body, "tensorflow/serving/classify")
    names = tuple(tensor.name for tensor in wanted)
    return PreparedCall(InferRequest(inputs, names), partial(_encode_classes, wanted, count))


def prepare_regress(spec: ModelSpec, body: bytes | bytearray) -> PreparedCall:
    """Decode a regress body. Raises InvalidRequestError and PayloadTooLargeError."""
    output = find_float_output(spec, "outputs")
    if output is None:
        raise InvalidRequestError(
            f"model '{spec.name}' cannot regress: that needs a float output 'outputs', or just one float "
            "output; use ':predict'"
        )
    inputs, count = _decode_examples(spec, body, "tensorflow/serving/regress")
    return PreparedCall(InferRequest(inputs, (output.name,)), partial(_encode_values, output, count))


def find_float_output(spec: ModelSpec, name: str) -> TensorSpec | None:
    """The float output of that name, or else the only float output; None where there is neither."""
    floats = [tensor for tensor in spec.outputs if tensor.datatype.is_float]
    named = [tensor for tensor in floats if tensor.name == name]
    if named:
        return named[0]
    return floats[0] if len(floats) == 1 else None


def _decode_examples(
    spec: ModelSpec, body: bytes | bytearray, method_name: str
) -> tuple[dict[str, Array], int]:
    """The model's inputs, and how many examples there are."""
    document = decode_object_with_tokens(body)
    check_signature_name(document, method_name)
    context = document.get("context", {})
    if type(context) is not dict:
        raise InvalidRequestError("'context' must be an object of features")
    examples = document.get("examples")
    if type(examples) is not list or not examples:
        raise InvalidRequestError("'examples' must be an array with at least one object of features")
    for index, example in enumerate(examples):
        if type(example) is not dict:
            raise InvalidRequestError(f"example {index} must be an object of features")
        if not context.keys().isdisjoint(example):
            raise InvalidRequestError(f"example {index} repeats a feature of 'context'")
    inputs = {tensor.name: _decode_feature(tensor, context, examples, body) for tensor in spec.inputs}
    return inputs, len(examples)


def _decode_feature(
    tensor: TensorSpec, context: dict[str, Any], examples: list[dict[str, Any]], body: bytes | bytearray
) -> Array:
    """One input from the feature of its name in every example."""
    values: list[Any] = []
    size = None
    for index, example in enumerate(examples):
        features = context if tensor.name in context else example
        if tensor.name not in features:
            raise InvalidRequestError(f"example {index} lacks the feature {tensor.describe()}")
        feature = _feature_values(tensor, index, features[tensor.name])
        if size not in (None, len(feature)):
            raise InvalidRequestError(
                f"feature '{tensor.name}' has {len(feature)} values in example {index}, "
                f"but {size} in those before it"
            )
        size = len(feature)
        values += feature
    shape = [len(examples), *_row_shape(tensor, size or 0)]
    check_shape(tensor, shape)
    return decode_tensor(tensor, shape, values, body)


def _feature_values(tensor: TensorSpec, index: int, feature: object) -> list[Any]:
    """A value or a flat list of values; TensorFlow has no boolean features and takes them as 0 and 1."""
    values: list[Any] = feature if type(feature) is list else [feature]
    for value in values:
        if type(value) is list or value is None or (type(value) is dict and not is_base64(value)):
            raise InvalidRequestError(
                f"feature '{tensor.name}' of example {index} must be a number, a string or a flat list"
            )
    if tensor.datatype in (BOOL, BYTES):
        return values
    return [int(value) if type(value) is bool else value for value in values]


def _row_shape(tensor: TensorSpec, size: int) -> list[int]:
    """The shape of one example's ``size`` values: the input's own without its first dimension."""
    if tensor.shape is None:
        return [size]
    row = list(tensor.shape[1:])
    variable = [index for index, dimension in enumerate(row) if dimension == -1]
    if len(variable) > 1:
        raise InvalidRequestError(
            f"feature '{tensor.name}' cannot be made of a flat list: the input is {tensor.describe()}; "
            "use ':predict'"
        )
    if variable:
        known = count_elements([dimension for dimension in row if dimension != -1])
        row[variable[0]] = size // known if known else 0
    return row


def _encode_classes(wanted: Sequence[TensorSpec], count: int, outputs: Sequence[Array]) -> bytes:
    """For every example the pairs of label and score; a model without labels has empty ones."""
    rows_by_kind: dict[bool, list[list[object]]] = {}
    shape = None
    for tensor, array in zip(wanted, outputs, strict=True):
        matrix = array.reshape(-1, 1) if array.ndim == 1 else array
        if matrix.ndim != 2 or len(matrix) != count or shape not in (None, matrix.shape):
            raise InvalidRequestError(
                f"output '{tensor.name}' has shape {list(array.shape)}; to classify {count} examples it must "
                f"have [{count}, classes], the same for classes and scores; use ':predict'"
            )
        shape = matrix.shape
        rows_by_kind[tensor.datatype is BYTES] = [make_rows(tensor, row) for row in matrix]
    width = shape[1] if shape else 0
    labels = rows_by_kind.get(True, [[""] * width] * count)
    scores = rows_by_kind.get(False, [[0.0] * width] * count)
    return encode_answer(
        _RESULTS, [list(zip(*pair, strict=True)) for pair in zip(labels, scores, strict=True)]
    )


def _encode_values(output: TensorSpec, count: int, outputs: Sequence[Array]) -> bytes:
    """One number for every example."""
    array = outputs[0]
    if array.shape not in ((count,), (count, 1)):
        raise InvalidRequestError(
            f"output '{output.name}' has shape {list(array.shape)}; to regress {count} examples it must have "
            f"[{count}] or [{count}, 1]; use ':predict'"
        )
    return encode_answer(_RESULTS, make_rows(output, np.ravel(array)))
