"""Leaves out units of dense layers, and lets the rest learn what the whole answered.

Only whole units make anything faster: ONNX Runtime has no kernels for matrices with many zeros.
"""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto

from modelservice_pipeline.compress.chains import Chain, find_chains, replace_chain
from modelservice_pipeline.compress.dense import ACTIVATIONS, Array, Layer, Training, fit_layers

_STEPS = 1500
_UNITS_TOGETHER = 8
"""Kernels work on so many numbers at once: a layer of 50 units costs what one of 56 does."""


def prune(
    model: ModelProto, kept: float, seen: Mapping[str, Array], training: Training | None = None
) -> ModelProto:
    """Return the model with a share of the units between its dense layers, fitted to the old results.

    Args:
        model: As `prepare` returns it.
        kept: The share of units to keep, above 0 and below 1.
        seen: For each chain its source and its result by their tensors' names, [rows, units].
        training: How long to fit.
    """
    smaller = ModelProto()
    smaller.CopyFrom(model)
    for chain in find_chains(model):
        inputs, results = seen[chain.source], seen[chain.result]
        layers = choose_units(chain, kept, inputs)
        replace_chain(smaller, chain, fit_layers(layers, inputs, results, training or Training(_STEPS)))
    return smaller


def choose_units(chain: Chain, kept: float, inputs: Array) -> tuple[Layer, ...]:
    """Return a chain's layers with those units only that add most to what the next layer sums.

    A unit adds as much as its usual output (root mean square over the rows) times the norm of the weights
    that read it.
    """
    layers = list(chain.layers)
    for index, (layer, following) in enumerate(zip(chain.layers, chain.layers[1:], strict=False)):
        inputs = ACTIVATIONS[layer.activation].run(inputs @ layer.weight + layer.bias)
        usual = np.sqrt(np.mean(np.square(inputs), axis=0))
        worth = usual * np.linalg.norm(following.weight, axis=1)
        units = np.sort(np.argsort(-worth, kind="stable")[: count_kept(len(worth), kept)])
        here, then = layers[index], layers[index + 1]
        layers[index] = Layer(here.weight[:, units], here.bias[units], here.activation)
        layers[index + 1] = Layer(then.weight[units], then.bias, then.activation)
    return tuple(layers)


def count_kept(units: int, kept: float) -> int:
    """Return how many of a layer's units stay: the share, rounded up to what kernels do at once."""
    wanted = -(-int(np.ceil(units * kept)) // _UNITS_TOGETHER) * _UNITS_TOGETHER
    return min(units, wanted)


def tensors_to_see(model: ModelProto) -> tuple[str, ...]:
    """Return the names of the tensors that `prune` wants to have seen; nothing where there is no chain."""
    return tuple(dict.fromkeys(name for chain in find_chains(model) for name in (chain.source, chain.result)))
