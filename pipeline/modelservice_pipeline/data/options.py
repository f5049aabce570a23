"""What a user says about a data set, beside the file itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DataOptions:
    """How to read a file of rows.

    Attributes:
        label: The column of the right answers; by default the one called label, target, class or y.
        needs_label: Whether rows without right answers are refused.
        inputs: Columns by the names of the model's inputs, where names or their number do not tell.
        slices: Columns whose values make groups.
        ignored: Columns that nobody needs.
        key: The column of what a row is about, for splits.
        names: Of the columns, for a text file whose first line is a row.
        label_file: Of idx files, the one with the labels; by default MNIST's name for it.
        part: The first and the last position by the hash of the key, of 0 to 1: see `compute_positions`.
        rows: How many rows to take, at random; None for all.
        seed: Of what is random.
        allow_nan: Whether missing numbers are NaN instead of refused.
        divide_by: What numbers are divided by before the model sees them (255 for bytes of a picture).
    """

    label: str | None = None
    needs_label: bool = True
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    key: str | None = None
    names: tuple[str, ...] = ()
    label_file: Path | None = None
    part: tuple[float, float] | None = None
    rows: int | None = None
    seed: int = 0
    allow_nan: bool = False
    divide_by: float | None = None
