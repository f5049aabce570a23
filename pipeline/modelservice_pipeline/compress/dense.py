"""Dense layers in numpy: run, and trained by Adam. So small networks need no framework.

Adam is that of Kingma and Ba, 2015 (arXiv 1412.6980), with its own defaults and a rate that falls to 0 along
a cosine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

Array = np.ndarray[Any, np.dtype[np.float32]]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Activation:
    """A function of each number, and its derivative from input and output."""

    run: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]


def _sigmoid(x: Array) -> Array:
    # Unlike 1 / (1 + exp(-x)) it never overflows.
    sigmoid: Array = 0.5 * (np.tanh(0.5 * x) + 1.0)
    return sigmoid


ACTIVATIONS: dict[str, Activation] = {
    "": Activation(lambda x: x, lambda x, _: np.ones_like(x)),
    "Relu": Activation(lambda x: np.maximum(x, 0), lambda x, _: (x > 0).astype(np.float32)),
    "Sigmoid": Activation(_sigmoid, lambda _, y: y * (1 - y)),
    "Tanh": Activation(np.tanh, lambda _, y: 1 - y * y),
}
"""By ONNX's names; nothing where layers follow each other directly."""


@dataclass(frozen=True)
class Layer:
    """`activation(x @ weight + bias)`; weight is [inputs, units], bias [units]."""

    weight: Array
    bias: Array
    activation: str = ""


def run_layers(layers: tuple[Layer, ...], rows: Array) -> Array:
    """Return what the layers make of rows: [rows, units of the last]."""
    for layer in layers:
        rows = ACTIVATIONS[layer.activation].run(rows @ layer.weight + layer.bias)
    return rows


@dataclass(frozen=True)
class Training:
    """How long and how fast to train; steps, never seconds, so that every machine does the same."""

    steps: int
    batch_size: int = 128
    rate: float = 1e-3
    seed: int = 0


def fit_layers(
    layers: tuple[Layer, ...], inputs: Array, targets: Array, training: Training
) -> tuple[Layer, ...]:
    """Return layers whose outputs are nearer to the targets, by the mean squared error.

    Args:
        layers: Where to begin.
        inputs: [rows, inputs of the first layer].
        targets: [rows, units of the last layer].
        training: How long and how fast.
    """
    # Matrices this small gain nothing from threads, which on a busy machine wait for each other.
    with threadpool_limits(1):
        return _fit(layers, inputs, targets, training)


def _fit(layers: tuple[Layer, ...], inputs: Array, targets: Array, training: Training) -> tuple[Layer, ...]:
    chance = np.random.default_rng(training.seed)
    values = [np.array(array, np.float32) for layer in layers for array in (layer.weight, layer.bias)]
    means = [np.zeros_like(value) for value in values]
    squares = [np.zeros_like(value) for value in values]
    names = [layer.activation for layer in layers]
    # Errors count by the spread of the targets, so that the rate fits logits and embeddings alike.
    scale = np.float32(1.0 / max(float(targets.std()), 1e-6))
    for step in range(1, training.steps + 1):
        picked = chance.integers(0, len(inputs), min(training.batch_size, len(inputs)))
        gradients = _gradients(values, names, inputs[picked], targets[picked], scale)
        rate = training.rate * 0.5 * (1 + np.cos(np.pi * step / training.steps))
        for value, mean, square, gradient in zip(values, means, squares, gradients, strict=True):
            mean[...] += (1 - _BETA1) * (gradient - mean)
            square[...] += (1 - _BETA2) * (gradient * gradient - square)
            unbiased = np.sqrt(square / (1 - _BETA2**step)) + _EPSILON
            value[...] -= np.float32(rate) * (mean / (1 - _BETA1**step)) / unbiased
    return tuple(Layer(values[2 * index], values[2 * index + 1], name) for index, name in enumerate(names))


def _gradients(
    values: list[Array], names: list[str], inputs: Array, targets: Array, scale: np.float32
) -> list[Array]:
    before, after = [], [inputs]
    for weight, bias, name in zip(values[::2], values[1::2], names, strict=True):
        before.append(after[-1] @ weight + bias)
        after.append(ACTIVATIONS[name].run(before[-1]))
    error = (after[-1] - targets) * (2 * scale * scale / np.float32(targets.size))
    found: list[Array] = []
    for index in reversed(range(len(names))):
        error = error * ACTIVATIONS[names[index]].slope(before[index], after[index + 1])
        found = [after[index].T @ error, error.sum(axis=0), *found]
        error = error @ values[2 * index].T
    return found
