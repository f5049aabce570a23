"""Samples of requests that the owner of a model gives: what to try it on when it is loaded.

A sample is a file in the Open Inference Protocol's JSON, as a client would send it to `/infer`; a relative
path begins at the model's directory, and of a directory every `*.json` counts. Or it is the shape of an
input, as in `image:1x3x224x224`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from modelservice_runtime.errors import InvalidSettingsError, ServingError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.tensors import Array, check_shape

# What samples may take of the memory, and more than any check needs.
_MAX_FILES = 16
_MAX_FILE_BYTES = 64 << 20
_SHAPE = re.compile(r"(.+):([1-9][0-9]{0,8}(?:x[1-9][0-9]{0,8})*)")

# A request's inputs by their names, from a body; raises ServingError. What reads bodies stands above models.
DecodeSample: TypeAlias = Callable[[ModelSpec, bytes], Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class Samples:
    """`inputs`: of requests, each by the inputs' names. `shapes`: of inputs that are to be made up."""

    inputs: tuple[Mapping[str, Array], ...] = ()
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


NO_SAMPLES = Samples()


def read_samples(spec: ModelSpec, model_path: Path, given: Sequence[str], decode: DecodeSample) -> Samples:
    """Samples for a model whose file or directory is `model_path`. Raises InvalidSettingsError."""
    if not given:
        return NO_SAMPLES
    inputs: list[Mapping[str, Array]] = []
    shapes: dict[str, list[int]] = {}
    for text in given:
        shape = _SHAPE.fullmatch(text)
        if shape is not None:
            name, sizes = shape.groups()
            shapes[name] = _check_sizes(spec, name, [int(size) for size in sizes.split("x")])
        else:
            inputs.extend(_read_file(spec, file, decode) for file in _find_files(model_path, text))
    return Samples(tuple(inputs), shapes)


def _check_sizes(spec: ModelSpec, name: str, sizes: list[int]) -> list[int]:
    tensor = spec.input_by_name.get(name)
    if tensor is None:
        known = ", ".join(repr(known) for known in spec.input_by_name)
        raise InvalidSettingsError(f"--samples: the model has no input {name!r}; it has {known}")
    try:
        check_shape(tensor, sizes)
    except ServingError as error:
        raise InvalidSettingsError(f"--samples: {error}") from error
    return sizes


def _find_files(model_path: Path, text: str) -> Iterator[Path]:
    directory = model_path if model_path.is_dir() else model_path.parent
    path = directory / text
    files = sorted(path.glob("*.json"))[:_MAX_FILES] if path.is_dir() else [path]
    if not files:
        raise InvalidSettingsError(
            f"--samples: there is no *.json file in the directory {text!r}; put one there, or name another"
        )
    yield from files


def _read_file(spec: ModelSpec, path: Path, decode: DecodeSample) -> Mapping[str, Array]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidSettingsError(
                f"--samples: {path.name!r} has more than {_MAX_FILE_BYTES} bytes; give a smaller one"
            )
        return decode(spec, path.read_bytes())
    except OSError as error:
        raise InvalidSettingsError(
            f"--samples: cannot read {str(path)!r} ({error.strerror}); "
            "name a file beside the model, or give shapes of inputs"
        ) from error
    except ServingError as error:
        raise InvalidSettingsError(
            f"--samples: {path.name!r} is no request to this model as /infer takes it: {error}; "
            "correct it, or give shapes of inputs"
        ) from error
