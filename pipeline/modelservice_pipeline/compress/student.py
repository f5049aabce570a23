"""A small network that learns to answer as the model does (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

It is for models of one row of numbers whose answers are numbers of one output, and perhaps the label that the
largest of them names: scikit-learn's and its kin's, and dense networks. Other models have students of
their owners' making, by a script.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from modelservice_pipeline.compress.dense import Array, Layer, Training, fit_layers
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port

_UNITS = 64
_LEAST_PROBABILITY = 1e-6
_LEAST_ROWS = 100
_STEPS = 4000
_OPSET, _IR_VERSION = 17, 8
_ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "object": TensorProto.STRING,
}


@dataclass(frozen=True)
class _Task:
    """What a student has to answer.

    Attributes:
        source: The input.
        result: The output of numbers.
        label: The output of labels, if there is one.
        classes: What each number's label is; nothing without labels.
        ending: The operator that makes answers of what the layers sum; nothing where they are the answers.
    """

    source: Port
    result: Port
    label: Port | None
    classes: np.ndarray[Any, Any] | None
    ending: str


def student_bytes(inputs: Sequence[Port]) -> int | None:
    """Return about how large a student would be; None where the model's inputs are not for one."""
    if len(inputs) != 1 or inputs[0].dtype != "float32" or len(inputs[0].shape) != 2:
        return None
    columns = inputs[0].shape[1]
    return None if columns is None else 4 * _UNITS * (columns + 2)


def train_student(
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    rows: Mapping[str, np.ndarray[Any, Any]],
    answers: Mapping[str, np.ndarray[Any, Any]],
    training: Training | None = None,
) -> ModelProto:
    """Return a network of one hidden layer that answers as the model did.

    Args:
        inputs: The model's.
        outputs: The model's; the student has the same.
        rows: What the model was asked.
        answers: What it answered, for each output.
        training: How long to learn.

    Raises PipelineError where such a network cannot have these inputs and outputs.
    """
    task = _read_task(inputs, outputs, answers)
    asked = rows[task.source.name].astype(np.float32)
    if not np.isfinite(asked).all():
        raise PipelineError("rows have missing numbers, which a network cannot take; a script of yours may")
    targets = _targets(task, answers[task.result.name])
    center, spread = asked.mean(axis=0), asked.std(axis=0)
    spread[spread == 0] = 1
    layers = _fresh_layers(asked.shape[1], targets.shape[1], targets.mean(axis=0))
    fitted = fit_layers(layers, (asked - center) / spread, targets, training or Training(_STEPS))
    # The layers take rows as they are: centering and scaling become a part of the first weights.
    weight = fitted[0].weight / spread[:, np.newaxis]
    first = Layer(weight, fitted[0].bias - center @ weight, fitted[0].activation)
    return _build(task, (first, *fitted[1:]))


def _read_task(
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    answers: Mapping[str, np.ndarray[Any, Any]],
) -> _Task:
    if student_bytes(inputs) is None:
        raise PipelineError("the model does not take one row of float32 numbers; a script of yours may help")
    numbers = [port for port in outputs if port.dtype == "float32"]
    labels = [port for port in outputs if port.dtype in ("int64", "object")]
    if len(numbers) != 1 or len(labels) > 1 or len(numbers) + len(labels) != len(outputs):
        raise PipelineError("the model does not answer one output of numbers, with or without their label")
    result = answers.get(numbers[0].name)
    if result is None or result.ndim not in (1, 2) or len(numbers[0].shape) != result.ndim:
        raise PipelineError("the model does not answer one row of numbers for each row")
    if len(result) < _LEAST_ROWS:
        raise PipelineError(f"{len(result)} rows are too few to learn from; give at least {_LEAST_ROWS}")
    classes = _read_classes(result, answers[labels[0].name]) if labels else None
    ending = _read_ending(result)
    return _Task(inputs[0], numbers[0], labels[0] if labels else None, classes, ending)


def _read_classes(result: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which label the model gives where each number is the largest."""
    if result.ndim != 2 or labels.ndim != 1:
        raise PipelineError("the model's labels do not follow from the largest of its numbers")
    largest = result.argmax(axis=1)
    found = []
    for column in range(result.shape[1]):
        names = set(labels[largest == column].tolist())
        if len(names) != 1:
            raise PipelineError("the model's labels do not follow from the largest of its numbers")
        found.append(names.pop())
    return np.array(found, dtype=labels.dtype)


def _read_ending(result: np.ndarray[Any, Any]) -> str:
    if result.min() < 0 or result.max() > 1:
        return ""
    if result.ndim == 2 and result.shape[1] > 1:
        return "Softmax" if np.allclose(result.sum(axis=1), 1, atol=1e-3) else "Sigmoid"
    return "Sigmoid"


def _targets(task: _Task, result: np.ndarray[Any, Any]) -> Array:
    answers = result.reshape(len(result), -1).astype(np.float64)
    if not task.ending:
        return answers.astype(np.float32)
    clipped = np.clip(answers, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    logits = np.log(clipped)
    if task.ending == "Sigmoid":
        logits -= np.log1p(-clipped)
    else:
        logits -= logits.mean(axis=1, keepdims=True)
    return logits.astype(np.float32)


def _fresh_layers(inputs: int, outputs: int, usual: Array) -> tuple[Layer, ...]:
    chance = np.random.default_rng(0)
    first = chance.normal(0, np.sqrt(2 / inputs), (inputs, _UNITS)).astype(np.float32)
    second = chance.normal(0, np.sqrt(1 / _UNITS), (_UNITS, outputs)).astype(np.float32)
    return (
        Layer(first, np.zeros(_UNITS, np.float32), "Relu"),
        Layer(second, usual.astype(np.float32)),
    )


def _build(task: _Task, layers: tuple[Layer, ...]) -> ModelProto:
    nodes: list[NodeProto] = []
    weights = []
    name = task.source.name
    for index, layer in enumerate(layers):
        weights.append(numpy_helper.from_array(layer.weight, f"weight{index}"))
        weights.append(numpy_helper.from_array(layer.bias, f"bias{index}"))
        nodes.append(helper.make_node("Gemm", [name, f"weight{index}", f"bias{index}"], [f"sum{index}"]))
        name = f"sum{index}"
        if layer.activation:
            nodes.append(helper.make_node(layer.activation, [name], [f"layer{index}"]))
            name = f"layer{index}"
    if task.label is not None:
        nodes += _label_nodes(task, name, weights)
    if task.ending:
        nodes.append(helper.make_node(task.ending, [name], ["answers"]))
        name = "answers"
    rank = len(task.result.shape)
    weights.append(numpy_helper.from_array(np.array([-1, layers[-1].bias.size][:rank], np.int64), "shape"))
    nodes.append(helper.make_node("Reshape", [name, "shape"], [task.result.name]))
    outputs = [port for port in (task.label, task.result) if port is not None]
    graph = helper.make_graph(
        nodes, "student", [_describe(task.source)], [_describe(port) for port in outputs], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _label_nodes(task: _Task, name: str, weights: list[TensorProto]) -> list[NodeProto]:
    assert task.label is not None
    assert task.classes is not None
    weights.append(numpy_helper.from_array(task.classes, "classes"))
    return [
        helper.make_node("ArgMax", [name], ["largest"], axis=1, keepdims=0),
        helper.make_node("Gather", ["classes", "largest"], [task.label.name]),
    ]


def _describe(port: Port) -> Any:
    shape: list[int | str | None] = ["rows", *port.shape[1:]]
    return helper.make_tensor_value_info(port.name, _ELEMENT_TYPES[port.dtype], shape)
