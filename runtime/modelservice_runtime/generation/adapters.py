"""LoRA adapters: weights that a decoder's graph takes as optional inputs, read from `.onnx_adapter` files.

A graph that was exported for adapters declares their weights as inputs that have initializers without any
numbers, so it runs without them too. Where an adapter has weights for some of them, the others are zeros of
its own rank: ONNX Runtime shares buffers among all that the graph calls by one symbol. Its own way to make an
adapter active, by the options of a run, has no effect on runs with bindings (1.31 warns and goes on without
it), so the weights are bound.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from modelservice_runtime.errors import (
    AccessDeniedError,
    ModelLoadFailedError,
    ModelNotFoundError,
    ModelRejectedError,
    StartupError,
)
from modelservice_runtime.generation.config import PLACES_INPUT
from modelservice_runtime.generation.kv.memory import Device
from modelservice_runtime.machine.readable import check_readable, describe_denial
from modelservice_runtime.settings.generation import AdapterSource

_KINDS: Mapping[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_ADVICE = "convert model and adapter together (modelservice model convert --adapter NAME=DIR)"


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """The values of a graph's inputs, by their names; `file` owns their memory, where it is not theirs."""

    values: Mapping[str, ort.OrtValue]
    file: ort.AdapterFormat | None

    def on(self, device: Device) -> "Adapter":
        """The same where a model runs: bound from elsewhere it would be copied for every binding."""
        if not device.is_cuda:
            return self
        place = device.kind, device.number
        return Adapter(
            {
                name: ort.OrtValue.ortvalue_from_numpy(value.numpy(), *place)
                for name, value in self.values.items()
            },
            None,
        )


def open_adapter(source: AdapterSource, session: ort.InferenceSession) -> Adapter:
    """Read an adapter, and check that the graph takes each of its weights. Raises StartupError."""
    try:
        inputs = {one.name: one for one in session.get_overridable_initializers()}
        inputs.pop(PLACES_INPUT, None)
        return _open(source.path, inputs)
    except StartupError as error:
        raise type(error)(f"adapter {source.name!r}: {error.sentence}") from error.__cause__


def _open(path: Path, inputs: Mapping[str, ort.NodeArg]) -> Adapter:
    if not inputs:
        raise ModelRejectedError(f"the model's graph has no inputs for adapters; {_ADVICE}")
    file = _read(path)
    values = file.get_parameters()
    if not values:
        raise ModelLoadFailedError(f"{path.name[:200]!r} has no weights; export the adapter again")
    for name, value in sorted(values.items()):
        if name not in inputs:
            raise ModelRejectedError(f"the model's graph has no input {name[:200]!r}; {_ADVICE}")
        _check_weight(name, value, inputs[name])
    return Adapter({**_zeros(inputs, _symbols(values, inputs)), **values}, file)


def _read(path: Path) -> ort.AdapterFormat:
    try:
        check_readable(path)
        if not path.is_file():
            raise ModelNotFoundError(
                f"there is no file {str(path)!r}; give the path of an .onnx_adapter; of a folder as peft "
                "saves it 'modelservice model convert --adapter NAME=DIR' makes one"
            )
        return ort.AdapterFormat.read_adapter(str(path))
    except PermissionError as error:
        raise AccessDeniedError(describe_denial(path)) from error
    except RuntimeError as error:
        raise ModelLoadFailedError(
            f"{path.name[:200]!r} is not an adapter of ONNX Runtime, or damaged; convert it from "
            "peft (modelservice model convert --adapter NAME=DIR), or copy it again"
        ) from error


def _check_weight(name: str, value: ort.OrtValue, wanted: ort.NodeArg) -> None:
    kind, shape = value.data_type(), value.shape()
    if kind != wanted.type or not _fits(shape, wanted.shape):
        expected = " x ".join(str(size) for size in wanted.shape)
        found = " x ".join(str(size) for size in shape)
        raise ModelRejectedError(
            f"{name[:200]!r} is a {kind} of {found}, and the model's graph takes a {wanted.type} of "
            f"{expected}; take the adapter that was trained for this model"
        )


def _symbols(values: Mapping[str, ort.OrtValue], inputs: Mapping[str, ort.NodeArg]) -> dict[str, int]:
    """The sizes that the graph leaves open, such as the rank; each is one for all weights."""
    sizes: dict[str, int] = {}
    for name, value in sorted(values.items()):
        for size, symbol in zip(value.shape(), inputs[name].shape, strict=True):
            if isinstance(symbol, str) and sizes.setdefault(symbol, size) != size:
                raise ModelRejectedError(
                    f"{name[:200]!r} has {size} of {symbol[:80]!r} and other weights have {sizes[symbol]}, "
                    "and the model's graph takes one number for all; export an adapter of one rank"
                )
    return sizes


def _zeros(inputs: Mapping[str, ort.NodeArg], symbols: Mapping[str, int]) -> dict[str, ort.OrtValue]:
    """Values without effect for every input whose sizes are known by these symbols."""
    made = {}
    for name, wanted in inputs.items():
        kind = _KINDS.get(wanted.type)
        shape = [symbols.get(size, 0) if isinstance(size, str) else size or 0 for size in wanted.shape]
        if kind is not None and all(shape) and symbols.keys() & set(wanted.shape):
            made[name] = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, kind))
    return made


def _fits(shape: list[int], wanted: list[int | str | None]) -> bool:
    return (
        len(shape) == len(wanted)
        and math.prod(shape) > 0
        and all(not isinstance(size, int) or size == own for own, size in zip(shape, wanted, strict=True))
    )
