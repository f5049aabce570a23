"""What classify and regress make of examples with features, whatever the protocol; pure.

TensorFlow models parse `tf.Example` themselves. Here the features named as the model's inputs become those
inputs, one row for each example; other features do not matter, as in TensorFlow.
Source: tensorflow/serving `servables/tensorflow/classifier.cc` and `regressor.cc`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.protocols.tensors.json_codec import decode_tensor
from modelservice_runtime.protocols.tfs.rest.json_values import is_base64
from modelservice_runtime.tensors import BOOL, BYTES, Array, TensorSpec, check_shape, count_elements

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def find_class_outputs(spec: ModelSpec) -> list[TensorSpec]:
    """The outputs that hold scores and labels, or one of the two. Raises InvalidRequestError."""
    classes = spec.output_by_name.get("classes")
    if classes is not None and classes.datatype is not BYTES:
        classes = None
    wanted = [tensor for tensor in (_find_scores(spec), classes) if tensor is not None]
    if not wanted:
        raise InvalidRequestError(
            f"model '{spec.name}' cannot classify: that needs a float output 'scores', or just one float "
            "output, or just one with labels, or a BYTES output 'classes'; use predict"
        )
    return wanted


def find_labels(wanted: Sequence[TensorSpec]) -> list[str]:
    """The labels of the scores, for every example the same, where no output holds them; else none."""
    return [str(label) for label in wanted[0].labels] if len(wanted) == 1 else []


def _find_scores(spec: ModelSpec) -> TensorSpec | None:
    labelled = [tensor for tensor in spec.outputs if tensor.labels]
    if len(labelled) == 1 and "scores" not in spec.output_by_name:
        return labelled[0]
    return find_float_output(spec, "scores")


def find_value_output(spec: ModelSpec) -> TensorSpec:
    """The output that holds one number for each example. Raises InvalidRequestError."""
    output = find_float_output(spec, "outputs")
    if output is None:
        raise InvalidRequestError(
            f"model '{spec.name}' cannot regress: that needs a float output 'outputs', or just one float "
            "output; use predict"
        )
    return output


def find_float_output(spec: ModelSpec, name: str) -> TensorSpec | None:
    """The float output of that name, or else the only float output; None where there is neither."""
    floats = [tensor for tensor in spec.outputs if tensor.datatype.is_float]
    named = [tensor for tensor in floats if tensor.name == name]
    if named:
        return named[0]
    return floats[0] if len(floats) == 1 else None


def decode_examples(
    spec: ModelSpec, context: dict[str, Any], examples: list[dict[str, Any]], body: bytes | bytearray = b""
) -> dict[str, Array]:
    """The model's inputs from features by name, those of `context` being part of every example.

    A feature is a value or a flat list, as JSON has them in `body`. Raises InvalidRequestError.
    """
    for index, example in enumerate(examples):
        if not context.keys().isdisjoint(example):
            raise InvalidRequestError(f"example {index} repeats a feature of 'context'")
    return {tensor.name: _decode_feature(tensor, context, examples, body) for tensor in spec.inputs}


def class_matrices(wanted: Sequence[TensorSpec], count: int, outputs: Sequence[Array]) -> dict[str, Array]:
    """Outputs by name, each [examples, classes]. Raises InvalidRequestError for other shapes."""
    matrices: dict[str, Array] = {}
    shape = None
    for tensor, array in zip(wanted, outputs, strict=True):
        matrix = array.reshape(-1, 1) if array.ndim == 1 else array
        if matrix.ndim != 2 or len(matrix) != count or shape not in (None, matrix.shape):
            raise InvalidRequestError(
                f"output '{tensor.name}' has shape {list(array.shape)}; to classify {count} examples it must "
                f"have [{count}, classes], the same for classes and scores; use predict"
            )
        shape = matrix.shape
        matrices[tensor.name] = matrix
    return matrices


def value_vector(output: TensorSpec, count: int, outputs: Sequence[Array]) -> Array:
    """One number for every example. Raises InvalidRequestError for other shapes."""
    array = outputs[0]
    if array.shape not in ((count,), (count, 1)):
        raise InvalidRequestError(
            f"output '{output.name}' has shape {list(array.shape)}; to regress {count} examples it must have "
            f"[{count}] or [{count}, 1]; use predict"
        )
    return np.ravel(array)


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
    return decode_tensor(tensor, shape, values, body, takes_whole_floats=False)


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
    """The shape of one example's `size` values: the input's own without its first dimension."""
    if tensor.shape is None:
        return [size]
    row = list(tensor.shape[1:])
    variable = [index for index, dimension in enumerate(row) if dimension == -1]
    if len(variable) > 1:
        raise InvalidRequestError(
            f"feature '{tensor.name}' cannot be made of a flat list: the input is {tensor.describe()}; "
            "use predict"
        )
    if variable:
        known = count_elements([dimension for dimension in row if dimension != -1])
        row[variable[0]] = size // known if known else 0
    return row
