"""Reads a file of rows as the data set of a model."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path

from modelservice_pipeline.data.binary_files import read_idx, read_npz
from modelservice_pipeline.data.cells import Array, to_strings
from modelservice_pipeline.data.dataset import Dataset, take_part, take_sample
from modelservice_pipeline.data.features import describe_order
from modelservice_pipeline.data.labels import find_label, read_labels
from modelservice_pipeline.data.matching import build_inputs, match_columns
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.data.table import Table, check_rows
from modelservice_pipeline.data.text_files import read_csv, read_json_lines, read_tsv
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import Port

_GZIP = b"\x1f\x8b"
_IDX_IMAGES, _IDX_LABELS = "images-idx3", "labels-idx1"
"""In the names of MNIST's files, and of all that follow it."""


def load_dataset(path: Path, ports: Sequence[Port], options: DataOptions | None = None) -> Dataset:
    """Read rows for the inputs of a model: CSV, TSV, JSON Lines, .npz or idx, each also compressed by gzip.

    Args:
        path: The file.
        ports: The model's inputs.
        options: What the user says about the file.

    Raises:
        PipelineError: It names the file, the line and the column where there is one.
    """
    options = options or DataOptions()
    table = read_table(path, options)
    for name in options.ignored:
        table.get(name, "--ignore")
    label = find_label(table, options, {name for port in ports for name in port.names})
    taken = [label or "", *options.slices, *([options.key] if options.key else [])]
    columns = match_columns(table, ports, options, taken)
    dataset = Dataset(
        path.name,
        build_inputs(table, ports, columns, options),
        None if label is None else read_labels(table, label),
        {name: to_strings(table, name, "a slice") for name in options.slices},
        None if options.key is None else to_strings(table, options.key, "the key"),
        table.sha256,
        columns,
        describe_order(ports, columns, options),
    )
    return _choose(dataset, options, path)


def read_table(path: Path, options: DataOptions) -> Table:
    """Read the columns of a file, by the end of its name. Raises PipelineError."""
    content, sha256 = _read(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return read_csv(path, content, sha256, options.names)
    if name.endswith((".tsv", ".tab")):
        return read_tsv(path, content, sha256, options.names)
    if name.endswith((".jsonl", ".ndjson")):
        return read_json_lines(path, content, sha256)
    if name.endswith(".npz"):
        return read_npz(path, content, sha256)
    if name.endswith((".idx", "-ubyte", "-idx")):
        return _read_idx_pair(path, content, sha256, options)
    raise PipelineError(
        f"{path}: the end of its name tells no format; known are .csv, .tsv, .jsonl, .npz and MNIST's "
        "-ubyte, each also with .gz"
    )


def _read(path: Path) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PipelineError(f"cannot read {path}: {error.strerror}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if not content:
        raise PipelineError(f"{path} is empty")
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise PipelineError(f"{path} is not whole: {error}") from None
    return content, sha256


def _read_idx_pair(path: Path, content: bytes, sha256: str, options: DataOptions) -> Table:
    columns: dict[str, Array] = {"images": read_idx(path, content)}
    labels = options.label_file or path.with_name(path.name.replace(_IDX_IMAGES, _IDX_LABELS))
    if labels != path and (options.label_file or labels.exists()):
        columns["label"] = read_idx(labels, _read(labels)[0])
    check_rows(path, columns)
    return Table(path, columns, None, sha256)


def _choose(dataset: Dataset, options: DataOptions, path: Path) -> Dataset:
    if options.part is not None:
        dataset = take_part(dataset, *options.part)
    if not len(dataset):
        raise PipelineError(f"{path} has no rows in the part that was asked for")
    if options.rows is not None:
        dataset = take_sample(dataset, options.rows, options.seed)
    return dataset
