"""Outputs that are no tensors, and the tensors that are served for them; pure.

Exporters of classifiers (scikit-learn's, LightGBM's, CatBoost's) end a graph in a ZipMap, which makes of the
scores, one row for each example, a sequence of maps from label to score. Those of several targets end in a
sequence of tensors, one for each. No protocol can carry either. So the maps become rows of a tensor again,
with the labels in the order of the ZipMap, and tensors of one shape are stacked. That is done with what a run
gave where `zip_map` could not take the ZipMap out of the graph before.
Source: ONNX, `ai.onnx.ml.ZipMap` and `SequenceConstruct`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from modelservice_runtime.errors import InvalidRequestError
from modelservice_runtime.tensors import FP32, MAX_RANK, Array, Datatype, TensorSpec

Labels: TypeAlias = tuple[int, ...] | tuple[str, ...]
# From what ONNX Runtime gives to an array. Raises InvalidRequestError where this run's output has none.
Convert: TypeAlias = Callable[[Any], Array]


def find_label_obstacle(labels: Labels) -> str | None:
    """Why maps with these labels cannot be a tensor, or None."""
    if not labels:
        return "a sequence of maps that comes from no ZipMap, so that its labels are unknown"
    if len(set(labels)) != len(labels):
        return "a sequence of maps of a ZipMap with equal labels, which hide each other's scores"
    return None


def serve_maps(name: str, labels: Labels) -> tuple[TensorSpec, Convert]:
    """The scores as a tensor FP32 [-1, labels]; see `find_label_obstacle`."""
    pick = itemgetter(*labels)

    def convert(maps: Sequence[Mapping[object, float]]) -> Array:
        picked = map(pick, maps)
        scores = picked if len(labels) == 1 else chain.from_iterable(picked)
        flat: Array = np.fromiter(scores, np.float32, len(maps) * len(labels))
        return flat.reshape(len(maps), len(labels))

    return TensorSpec(name, FP32, (-1, len(labels)), labels=labels), convert


def serve_tensors(name: str, datatype: Datatype) -> tuple[TensorSpec, Convert]:
    """The tensors of a sequence, one behind the other along a new first dimension."""

    def convert(tensors: Sequence[Array]) -> Array:
        shapes = list(dict.fromkeys(tensor.shape for tensor in tensors))
        if len(shapes) != 1 or len(shapes[0]) >= MAX_RANK:
            shown = ", ".join(str(list(shape)) for shape in shapes[:5])
            raise InvalidRequestError(
                f"output '{name}' is a sequence of tensors of the shapes {shown or 'of none'}, which are no "
                "tensor together; ask for the model's other outputs"
            )
        return np.stack(tensors)

    return TensorSpec(name, datatype, None), convert
