"""Rows to check a model with, made of some that it ran on; pure."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from modelservice_runtime.execution.rows.check import Row
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import BF16, Array, TensorSpec, bf16_from_fp32, fp32_from_bf16

# Enough to see an exchange of rows and a run of three.
ROWS = 3
# How far neighbours are from a row.
_FAR = (1000.0, 0.001, -1000.0)


def cut_rows(spec: ModelSpec, inputs: Row, most: int = ROWS) -> list[Row]:
    """The first rows of inputs that agree on their first dimension; none where they do not."""
    counts = {inputs[tensor.name].shape[:1] for tensor in spec.inputs}
    if len(counts) != 1 or counts == {()}:
        return []
    ((count,),) = counts
    return [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(min(count, most))]


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Without those that are equal to an earlier one, or of other shapes than the first."""
    found: list[Row] = []
    for row in rows:
        if all(row[name].shape == array.shape for name, array in rows[0].items()) and not any(
            all(np.array_equal(row[name], array) for name, array in other.items()) for other in found
        ):
            found.append(row)
    return found


def complete(spec: ModelSpec, rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """`ROWS` different rows: those there are, and variations of the first; fewer where it allows none."""
    random = np.random.default_rng(seed)
    varied = [{tensor.name: _vary(tensor, rows[0][tensor.name], random) for tensor in spec.inputs}
              for _ in range(ROWS)]  # fmt: skip
    return distinct([*rows, *varied])[:ROWS]


def make_strangers(spec: ModelSpec, rows: Sequence[Row], *, scaled: bool) -> list[list[Row]]:
    """Neighbours for the rows, the strangest first; a model may refuse some, but not all.

    They are the rows in reverse, where `scaled` a thousand times as large and as small: all numbers, then
    those with a point, then none.
    """
    kinds: list[Callable[[TensorSpec], bool]] = [lambda _: False]
    if scaled:
        kinds = [lambda _: True, lambda tensor: tensor.datatype.is_float, *kinds]
    others = [rows[-1 - index % len(rows)] for index in range(max(len(rows), len(_FAR)))]
    return [
        [
            {
                tensor.name: _scale(tensor, row[tensor.name], factor)
                if is_scaled(tensor)
                else row[tensor.name]
                for tensor in spec.inputs
            }
            for row, factor in zip(others, itertools.cycle(_FAR))
        ]
        for is_scaled in kinds
    ]


# The annotation is a text because numpy imports its generators late, and few servers need one.
def _vary(tensor: TensorSpec, array: Array, random: "np.random.Generator") -> Array:
    """Numbers with a point times something near 1; anything else in another order, so that it stays known."""
    if tensor.datatype.is_float:
        factors = random.uniform(0.5, 1.5, array.shape).astype(np.float32)
        return _times(tensor, array, factors)
    return random.permutation(array.reshape(-1)).reshape(array.shape)


def _scale(tensor: TensorSpec, array: Array, factor: float) -> Array:
    if tensor.datatype.is_float:
        return _times(tensor, array, np.float32(factor))
    if array.dtype.kind not in "iu":
        return array
    limits = np.iinfo(array.dtype)
    return np.clip(array * abs(factor) + 2, limits.min, limits.max / 2).astype(array.dtype)


def _times(tensor: TensorSpec, array: Array, factor: Array | np.float32) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        if tensor.datatype is not BF16:
            return (array * factor).astype(array.dtype)
        product = np.clip(fp32_from_bf16(array) * factor, -3e38, 3e38)
        return bf16_from_fp32(product.astype(np.float32))
