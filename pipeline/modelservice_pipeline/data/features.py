"""Columns of a file as the features that a model names: matched by their names, in any order."""

import re
from collections.abc import Mapping, Sequence

from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.table import Table
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port

_INDEX = re.compile(r"(unnamed: ?\d+|#\d+)?", re.IGNORECASE)
"""What a table's row numbers are called: they stand under no name, which readers replace by one."""
_MOST_NAMED = 8


def fold_name(name: str) -> str:
    """Return a name without what converters change: letter case and punctuation."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def find_features(port: Port, columns: Sequence[str]) -> tuple[str | None, ...]:
    """Return the column of each of a port's names: the same name, else the only one alike; or None."""
    return tuple(_find(name, port.names, columns) for name in port.names)


def take_features(table: Table, port: Port, left: Sequence[str], also: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a port whose features are known, in its order.

    Args:
        table: The file.
        port: The input; it has names.
        left: The columns without another use.
        also: Columns of groups and keys, which may be features too.

    Raises:
        PipelineError: Features without a column, or columns that are no features.
    """
    free = [name for name in table.columns if name in left or name in also]
    found = find_features(port, free)
    missing = [name for name, column in zip(port.names, found, strict=True) if column is None]
    if missing:
        raise PipelineError(
            f"{table.path} has no column for {_count(missing)} of the model's input {port.name}: "
            f"{name_some(missing)}; its columns are: {name_some(list(table.columns))}; say which they are "
            f"with --input {port.name}=COLUMN,COLUMN in the model's order"
        )
    others = [name for name in left if name not in found and not _INDEX.fullmatch(name.strip())]
    if others:
        raise PipelineError(
            f"{table.path} has columns that are no features of the model: {name_some(others)}; leave them "
            "out with --ignore COLUMN"
        )
    return tuple(name for name in found if name is not None)


def describe_order(
    ports: Sequence[Port], columns: Mapping[str, Sequence[str]], options: DataOptions
) -> tuple[str, ...]:
    """Return a sentence for each input whose columns nothing but their order in the file tells apart."""
    return tuple(
        f"the names of the features of {port.name} are not known: its columns are taken in the order of the "
        f"file, {name_some(columns[port.name])}"
        for port in ports
        if not port.names and len(columns[port.name]) > 1 and port.name not in options.inputs
    )


def name_some(names: Sequence[str]) -> str:
    """Return names for a sentence; of many the first ones, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _find(name: str, names: Sequence[str], columns: Sequence[str]) -> str | None:
    if name in columns:
        return name
    alike = [column for column in columns if fold_name(column) == fold_name(name) and column not in names]
    rivals = [other for other in names if fold_name(other) == fold_name(name)]
    return alike[0] if len(alike) == len(rivals) == 1 else None


def _count(names: Sequence[str]) -> str:
    return "a feature" if len(names) == 1 else f"{len(names)} features"
