"""Writes ONNX files."""

from collections.abc import Mapping
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


def carry_metadata(told: Mapping[str, str], path: Path) -> None:
    """Write into a file what it lacks of a model's metadata, such as the names of features and classes."""
    model = onnx.load(path, load_external_data=False)
    there = {each.key for each in model.metadata_props}
    missing = {key: value for key, value in told.items() if key not in there}
    if missing:
        for key, value in missing.items():
            model.metadata_props.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())
