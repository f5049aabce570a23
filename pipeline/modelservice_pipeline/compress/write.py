"""Writes ONNX files."""

from pathlib import Path

import onnx
from onnx import ModelProto

BIG_BYTES = 1_900_000_000
"""Beyond it weights go into a file of their own: protobuf ends at 2 GiB."""


def write_model(model: ModelProto, path: Path) -> None:
    """Write a model as one file, or with its weights beside it where it is too large for one."""
    if model.ByteSize() > BIG_BYTES:
        onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data")
    else:
        onnx.save_model(model, path)
