"""Inputs to prove a model of tensors on: other sizes in every run, where they vary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array


@dataclass(frozen=True)
class Input:
    """An input: sizes that vary have a name. Whole numbers are made up below `below`.

    A mask is ones up to the end of its row's text, which has a token at least, and zeros behind it.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    below: int = 2
    is_mask: bool = False

    @property
    def varying(self) -> dict[int, str]:
        """The names of sizes that vary, by axis."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}


def read_inputs(options: Sequence[dict[str, Any]], samples: dict[str, Array]) -> list[Input]:
    """What the user said, or what the samples show: their first size varies. Raises PipelineError."""
    if options:
        return [Input(**{**one, "shape": tuple(one["shape"])}) for one in options]
    if samples:
        return [Input(name, str(array.dtype), ("batch", *array.shape[1:])) for name, array in samples.items()]
    raise PipelineError(
        "say what the inputs are, for example --input x=float32[batch,10] --input "
        "ids=int64[batch,length]<1000, or give --samples with a .npz file"
    )


def make_runs(
    inputs: Sequence[Input], samples: dict[str, Array], rows: int, random: np.random.Generator
) -> list[dict[str, Array]]:
    """Inputs of a few runs: many rows, one row, and sizes that no other has; the user's own first."""
    names = sorted({name for one in inputs for name in one.varying.values()})
    first = inputs[0].shape[0] if inputs and inputs[0].shape else ""
    runs = []
    for run in range(3 if names else 1):
        sizes = {name: 4 + 3 * index + 2 * run for index, name in enumerate(names)}
        if isinstance(first, str) and first in sizes:
            sizes[first] = (rows, 1, 3)[run]
        runs.append({one.name: _make_up(one, sizes, random) for one in inputs})
    if samples:
        runs = _from_samples(inputs, samples, rows)
    return runs


def _make_up(one: Input, sizes: dict[str, int], random: np.random.Generator) -> Array:
    shape = tuple(sizes[size] if isinstance(size, str) else size for size in one.shape)
    if one.is_mask:
        ends = random.integers(1, shape[1] + 1, (shape[0], 1))
        return np.asarray(np.arange(shape[1]) < ends).astype(one.dtype)
    if one.dtype == "bool":
        return np.asarray(random.random(shape) < 0.5)
    if one.dtype.startswith("float"):
        return np.asarray(random.normal(size=shape)).astype(one.dtype)
    return np.asarray(random.integers(0, one.below, shape)).astype(one.dtype)


def _from_samples(inputs: Sequence[Input], samples: dict[str, Array], rows: int) -> list[dict[str, Array]]:
    missing = [one.name for one in inputs if one.name not in samples]
    if missing:
        raise PipelineError(f"the samples have no {missing[0]!r}; they have {', '.join(samples)}")
    whole = {one.name: samples[one.name].astype(one.dtype) for one in inputs}
    if not all(one.shape and isinstance(one.shape[0], str) for one in inputs):
        return [whole]
    return [{name: array[:count] for name, array in whole.items()} for count in (rows, 1)]
