"""The flags by which every command reads a data set; nothing heavy is imported before it does."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from modelservice_pipeline.data.dataset import Dataset
    from modelservice_pipeline.data.options import DataOptions
    from modelservice_pipeline.model.session import Port


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add DATA and what can be said about it."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="rows: .csv, .tsv, .jsonl, .npz or an idx file, also with .gz"
    )
    group = parser.add_argument_group("data")
    group.add_argument(
        "--label", metavar="COLUMN", help="the right answers (default: label, target, class or y)"
    )
    group.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=COLUMN[,COLUMN...]",
        help="the columns of an input, where names do not tell",
    )
    group.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="a column of no use")
    group.add_argument(
        "--slice", action="append", default=[], metavar="COLUMN", help="figures for each of its values too"
    )
    group.add_argument(
        "--key",
        metavar="COLUMN",
        help="what a row is about; its hash places the row for --part (default: the inputs)",
    )
    group.add_argument(
        "--part",
        type=_parse_part,
        metavar="FROM:TO",
        help="only rows whose hash lies there, of 0 to 1: 0.9:1 is a tenth, the same in every run",
    )
    group.add_argument("--rows", type=int, metavar="N", help="only N rows, chosen at random")
    group.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    group.add_argument(
        "--columns", metavar="NAME,NAME...", help="names of the columns, where the first line is a row"
    )
    group.add_argument("--label-file", type=Path, metavar="FILE", help="the labels of an idx file")
    group.add_argument("--allow-nan", action="store_true", help="missing numbers are NaN (default: refused)")
    group.add_argument(
        "--divide-by", type=float, metavar="X", help="divide numbers: 255 for bytes of pictures"
    )


def load_data(arguments: argparse.Namespace, ports: "Sequence[Port]", needs_label: bool = True) -> "Dataset":
    """Read the data set that the flags mean, for the inputs of a model. Raises PipelineError."""
    from modelservice_pipeline.data.load import load_dataset

    return load_dataset(arguments.data, ports, read_options(arguments, needs_label))


def read_options(arguments: argparse.Namespace, needs_label: bool = True) -> "DataOptions":
    """Return what the flags say about a data set. Raises PipelineError."""
    from modelservice_pipeline.data.options import DataOptions

    if arguments.rows is not None and arguments.rows < 1:
        raise PipelineError(f"--rows {arguments.rows}: must be at least 1")
    if arguments.divide_by == 0:
        raise PipelineError("--divide-by 0: must not be 0")
    return DataOptions(
        label=arguments.label,
        needs_label=needs_label,
        inputs=_parse_inputs(arguments.input),
        slices=tuple(arguments.slice),
        ignored=tuple(arguments.ignore),
        key=arguments.key,
        names=tuple(arguments.columns.split(",")) if arguments.columns else (),
        label_file=arguments.label_file,
        part=arguments.part,
        rows=arguments.rows,
        seed=arguments.seed,
        allow_nan=arguments.allow_nan,
        divide_by=arguments.divide_by,
    )


def _parse_part(text: str) -> tuple[float, float]:
    first, _, last = text.partition(":")
    try:
        part = (float(first or 0), float(last or 1))
    except ValueError:
        part = (1.0, 0.0)
    if not 0 <= part[0] < part[1] <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not FROM:TO within 0 to 1, as 0.9:1")
    return part


def _parse_inputs(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    inputs: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, columns = text.partition("=")
        if not equals or not columns:
            raise PipelineError(f"--input {text}: is not NAME=COLUMN[,COLUMN...]")
        inputs[name] = tuple(columns.split(","))
    return inputs
