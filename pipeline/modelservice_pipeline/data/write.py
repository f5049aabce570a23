"""Writes some rows of a table into a file of the same format, for a program that trains on them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.data.table import Array, Table
from modelservice_pipeline.errors import PipelineError

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


def write_rows(table: Table, rows: Array, folder: Path, stem: str, has_head: bool = True) -> Path:
    """Write the rows with these numbers; returns the file, whose name ends as the table's, without `.gz`.

    A file of separated values is written with commas (or tabs) and quotes where they are needed.
    Raises PipelineError for idx files, which have no names for a program to go by.
    """
    ending = Path(table.path.name.removesuffix(".gz")).suffix.lower()
    path = folder / f"{stem}{ending}"
    if ending == ".npz":
        arrays: dict[str, Any] = {name: _to_plain(column[rows]) for name, column in table.columns.items()}
        np.savez(path, **arrays)
    elif ending in (".jsonl", ".ndjson"):
        lines = (json.dumps(_row(table, row), ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    elif ending in _DELIMITERS:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=_DELIMITERS[ending])
            writer.writerows([list(table.columns)] if has_head else [])
            writer.writerows(_row(table, row).values() for row in rows)
    else:
        raise PipelineError(
            f"rows of {table.path} cannot be written again: give a .csv, .tsv, .jsonl or .npz"
        )
    return path


def _row(table: Table, row: int) -> dict[str, Any]:
    return {name: column[row] for name, column in table.columns.items()}


def _to_plain(column: Array) -> Array:
    return column.astype(str) if column.dtype == object else column
