"""Reads CSV, TSV and JSON Lines."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelservice_pipeline.data.table import Table
from modelservice_pipeline.errors import PipelineError

_LARGEST_FIELD = 2**31 - 1
"""The csv module stops at 128 KiB; texts are longer."""


class _RefusedError(Exception):
    """What the JSON module takes, or fails on, and a file of rows should not hold."""


def read_csv(path: Path, content: bytes, sha256: str, names: Sequence[str] = ()) -> Table:
    """Read comma-separated values as RFC 4180 has them; with tabs or semicolons where the first line tells.

    Args:
        path: For messages.
        content: The file, UTF-8.
        sha256: Of the file.
        names: Of the columns, where no first line tells them.
    """
    text = _decode(path, content)
    first = text.partition("\n")[0]
    if "\t" in first:
        return read_tsv(path, content, sha256, names)
    delimiter = ";" if ";" in first and "," not in first else ","
    try:
        rows = _split(text, delimiter, quoted=True)
    except csv.Error as error:
        raise PipelineError(f"{path}{_near(error)}") from None
    return _to_table(path, rows, sha256, names)


def read_tsv(path: Path, content: bytes, sha256: str, names: Sequence[str] = ()) -> Table:
    """Read tab-separated values: with quotes as spreadsheets write them or, where that does not fit, none.

    The media type text/tab-separated-values has no quotes: there `"` is a character like any other. So quotes
    that would swallow line breaks count only where the lines for themselves make no table.
    """
    text = _decode(path, content)
    rows = _split(text, "\t", quoted=False)
    try:
        quoted = _split(text, "\t", quoted=True)
    except csv.Error:
        return _to_table(path, rows, sha256, names)
    is_table = len({len(fields) for _, fields in rows}) == 1
    return _to_table(path, rows if is_table and len(rows) != len(quoted) else quoted, sha256, names)


def read_json_lines(path: Path, content: bytes, sha256: str) -> Table:
    """Read one JSON object a line; a field that some rows lack is None in them."""
    lines: list[int] = []
    values: list[dict[str, Any]] = []
    for number, text in enumerate(_decode(path, content).split("\n"), start=1):
        if text.strip():
            lines.append(number)
            values.append(_parse_object(path, number, text))
    if not values:
        raise PipelineError(f"{path} has no rows")
    columns = {name: [value.get(name) for value in values] for name in dict.fromkeys(_names(values))}
    return Table(path, {name: _to_column(cells) for name, cells in columns.items()}, tuple(lines), sha256)


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PipelineError(f"{path}, line {line}: is not UTF-8; write the file as UTF-8") from None


def _split(text: str, delimiter: str, quoted: bool) -> list[tuple[int, list[str]]]:
    """Return the line at which each row begins, and its fields. Raises csv.Error."""
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        lines = io.StringIO(text, newline="")
        if quoted:
            return list(_number(csv.reader(lines, delimiter=delimiter, strict=True)))
        return list(_number(csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)))
    finally:
        csv.field_size_limit(before)


def _number(reader: Any) -> Iterator[tuple[int, list[str]]]:
    begins = 1
    try:
        for fields in reader:
            if fields:
                yield begins, fields
            begins = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f", line {begins}: {error}") from None


def _near(error: csv.Error) -> str:
    return f'{error}; a field with a quote, comma or line break stands in quotes, and a quote in it is ""'


def _to_table(path: Path, rows: list[tuple[int, list[str]]], sha256: str, names: Sequence[str]) -> Table:
    if not names and rows:
        names = [name.strip() or f"#{position}" for position, name in enumerate(rows.pop(0)[1], start=1)]
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise PipelineError(f"{path}: its first line names columns twice: {', '.join(sorted(twice))}")
    if not rows:
        raise PipelineError(f"{path} has no rows")
    for line, fields in rows:
        if len(fields) != len(names):
            raise PipelineError(f"{path}, line {line}: has {len(fields)} fields, expected {len(names)}")
    columns = {name: _to_column([fields[at] for _, fields in rows]) for at, name in enumerate(names)}
    return Table(path, columns, tuple(line for line, _ in rows), sha256)


def _parse_object(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_int=_parse_whole, object_pairs_hook=_build_object)
    except json.JSONDecodeError as error:
        at = f"column {error.colno}: {error.msg}"
        raise PipelineError(f"{path}, line {line}, {at}; every line is one JSON object") from None
    except RecursionError:
        raise PipelineError(f"{path}, line {line}: too deep; every line is one JSON object") from None
    except _RefusedError as error:
        raise PipelineError(f"{path}, line {line}: {error}") from None
    if not isinstance(value, dict):
        raise PipelineError(
            f'{path}, line {line}: is not a JSON object such as {{"text": "...", "label": 1}}'
        )
    return value


def _parse_whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise _RefusedError(f"a number has {len(digits)} digits, which no model takes") from None


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _RefusedError(f"names {twice!r} twice; which of the two counts?")
    return value


def _names(values: list[dict[str, Any]]) -> Iterator[str]:
    for value in values:
        yield from value


def _to_column(cells: list[Any]) -> np.ndarray[Any, Any]:
    return np.fromiter(cells, object, len(cells))
