"""A file of rows before anybody knows what the model takes: columns by name, and where each row stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.errors import PipelineError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        path: The file.
        columns: Arrays by name, [rows] or [rows, ...]. A file of text gives dtype object: texts as they stand
            there or, from JSON, values; None where a row lacks the field.
        lines: The line of each row, from 1; None where the file has no lines.
        sha256: Of the file, as hexadecimal digits.
    """

    path: Path
    columns: Mapping[str, Array]
    lines: tuple[int, ...] | None
    sha256: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def get(self, name: str, use: str) -> Array:
        """Return a column. Raises PipelineError that says what it was wanted for and which there are."""
        if name not in self.columns:
            there = ", ".join(self.columns)
            raise PipelineError(f"{self.path} has no column {name!r} for {use}; its columns are: {there}")
        return self.columns[name]

    def where(self, row: int, column: str) -> str:
        """Say where a value stands, as the start of a sentence."""
        place = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{self.path}, {place}, column {column!r}"


def check_rows(path: Path, columns: Mapping[str, Array]) -> None:
    """Check that there are rows, as many in every column. Raises PipelineError."""
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise PipelineError(f"{path}: every array needs the same number of rows, and they have: {shown}")
    if not counts or 0 in counts.values():
        raise PipelineError(f"{path} has no rows")
