"""Inputs that have one value whatever the row, such as a sample rate: each run gets them beside its rows.

They come from `--constant NAME=VALUE`, or are the arrays without dimensions of a data set in `.npz`.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.predictor import Array, Tensors
from modelservice_pipeline.predict.rows import cast

_SMALL_BYTES = 4096
"""More than one value and its header take in a file."""


@dataclass(frozen=True)
class Given:
    """Values by the names of inputs, as JSON or arrays: of flags, and those that a file happens to have."""

    by_flags: Mapping[str, Any] = field(default_factory=dict)
    by_file: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Constants:
    """What each run gets beside its rows.

    Attributes:
        tensors: By the names of inputs.
        hold_one_row: One of them has a size that varies, which may be that of the rows.
    """

    tensors: Tensors = field(default_factory=dict)
    hold_one_row: bool = False


def take_constants(ports: Sequence[Port], given: Given) -> tuple[tuple[Port, ...], Constants]:
    """Return the inputs that rows have to bring, and the constants for the others. Raises PipelineError."""
    names = [port.name for port in ports]
    for name in given.by_flags:
        if name not in names:
            raise PipelineError(f"--constant {name}: the model has no such input; it has {', '.join(names)}")
    values = {**given.by_file, **given.by_flags}
    fixed = [port for port in ports if port.name in values]
    if fixed and len(fixed) == len(ports):
        raise PipelineError("every input is a constant: leave the one that rows are for to the data")
    tensors = {port.name: _make(values[port.name], port) for port in fixed}
    varies = any(size is None for port in fixed for size in port.shape)
    return tuple(port for port in ports if port.name not in values), Constants(tensors, varies)


def _make(value: Any, port: Port) -> Array:
    """Return the tensor; one value fills an input with sizes, of which those that vary are 1."""
    try:
        array = np.array(value, object if port.dtype == "object" else None)
    except ValueError:
        raise PipelineError(f"--constant {port.name}: its lists have different lengths") from None
    if port.shape and not array.ndim:
        array = np.full([size or 1 for size in port.shape], array[()], array.dtype)
    fits = len(array.shape) == len(port.shape) and all(
        wanted in (None, size) for size, wanted in zip(array.shape, port.shape, strict=True)
    )
    if port.shape and not fits:
        found = " x ".join(map(str, array.shape))
        wanted = " x ".join("any" if size is None else str(size) for size in port.shape)
        raise PipelineError(f"--constant {port.name}: it has the shape {found}, and the model takes {wanted}")
    try:
        return cast(array, port)
    except PipelineError as error:
        raise PipelineError(f"--constant {port.name}: {error}") from None


def parse_constant(text: str) -> tuple[str, Any]:
    """Parse `NAME=JSON`, or `NAME=@FILE` of a .npy, or of a .npz that has the name. Raises PipelineError."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise PipelineError(f"--constant {text}: is not NAME=VALUE, such as sr=16000, nor NAME=@FILE.npy")
    if value.startswith("@"):
        return name, _read_array(name, Path(value[1:]))
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value  # a text needs no quotes; of an input of numbers it is told


def _read_array(name: str, path: Path) -> Array:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            return np.asarray(found)
        with found:
            return np.asarray(found[name])
    except OSError as error:
        reason = error.strerror or error
        raise PipelineError(f"--constant {name}: cannot read {path}: {reason}") from None
    except KeyError:
        raise PipelineError(f"--constant {name}: {path} has no array of this name") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise PipelineError(f"--constant {name}: {path} is no .npy or .npz file, or holds a pickle") from None


def read_single_values(path: Path) -> dict[str, Array]:
    """Return the arrays without dimensions of a .npz file; none of any other: its reader tells what it is."""
    if path.suffix != ".npz":
        return {}
    try:
        with zipfile.ZipFile(path) as file:
            return dict(_read_members(file))
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return {}


def _read_members(file: zipfile.ZipFile) -> Iterator[tuple[str, Array]]:
    for member in file.infolist():
        if member.file_size <= _SMALL_BYTES and member.filename.endswith(".npy"):
            content = io.BytesIO(file.read(member))
            array = np.lib.format.read_array(content, allow_pickle=False)
            if array.ndim == 0:
                yield member.filename.removesuffix(".npy"), array
