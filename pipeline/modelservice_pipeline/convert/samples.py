"""Inputs of the user's own to prove a model on: a table or arrays, from a file."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.proof import Array

_MAX_ROWS = 10_000


def read_samples(path: Path) -> dict[str, Array]:
    """Arrays by the names of columns or inputs: float64, or texts as objects. Raises PipelineError.

    A `.csv` has a header; a `.jsonl` an object in each line; a `.npz` an array for each input.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".npz": _read_npz}
    reader = readers.get(path.suffix)
    if reader is None:
        raise PipelineError(f"{path}: samples are a .csv, .jsonl or .npz file")
    try:
        found = reader(path)
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error, KeyError, AttributeError, TypeError) as error:
        raise PipelineError(f"{path} cannot be read as {path.suffix}: {error}") from None
    if not found or any(len(array) == 0 for array in found.values()):
        raise PipelineError(f"{path} has no rows")
    return found


def _read_csv(path: Path) -> dict[str, Array]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        head = next(rows, [])
        table = [row for row, _ in zip(rows, range(_MAX_ROWS), strict=False) if row]
    if any(len(row) != len(head) for row in table):
        raise ValueError("its rows have different numbers of cells")
    return {name: _to_array([row[index] for row in table]) for index, name in enumerate(head)}


def _to_array(cells: list[str]) -> Array:
    """Numbers, where every cell is one or empty."""
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return _texts(cells)


def _texts(values: list[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = ["" if value is None else str(value) for value in values]
    return array


def _read_jsonl(path: Path) -> dict[str, Array]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(_MAX_ROWS), strict=False) if line.strip()]
    found = {}
    for name in rows[0] if rows else ():
        values = [row.get(name) for row in rows]
        is_text = any(isinstance(value, str) for value in values)
        plain = [np.nan if value is None else value for value in values]
        found[name] = _texts(values) if is_text else np.array(plain)
    return found


def _read_npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return {
        name: array.astype(object) if array.dtype.kind in "US" else array for name, array in arrays.items()
    }
