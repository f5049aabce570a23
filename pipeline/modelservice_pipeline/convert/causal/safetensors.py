"""Reads a file of safetensors: a size, a JSON header, and the numbers behind it.

The format: https://github.com/huggingface/safetensors#format. Only matrices of adapters are read here, in
float32, so bfloat16 needs no package of its own.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array

_LENGTH_BYTES = 8
_KINDS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return all tensors by name, as float32. Raises PipelineError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[_LENGTH_BYTES:begin])
        return {
            str(name): _read(entry, content[begin:])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise PipelineError(
            f"{path} is no file of safetensors in F32, F16 or BF16, or damaged; copy or save it again"
        ) from None


def _read(entry: Any, content: bytes) -> Array:
    begin, end = entry["data_offsets"]
    values = np.frombuffer(content[begin:end], _KINDS[entry["dtype"]])
    if values.size != math.prod(entry["shape"]):
        raise ValueError("the sizes differ")
    if entry["dtype"] == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32).reshape(entry["shape"])
