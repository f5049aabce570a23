"""A report: facts for programs as JSON, the same for people as Markdown."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError

_NAME = "report.json"


@dataclass
class Report:
    """What a command found.

    Attributes:
        title: One line, what was looked at.
        facts: Everything, as JSON can say it; the same keys in every run of a command.
        sections: Markdown for people, in order; tables from `table`.
        pictures: PNG files by their names, which a section may show.
    """

    title: str
    facts: dict[str, Any]
    sections: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the facts as JSON. Raises ValueError for NaN and infinity, which JSON does not know."""
        return json.dumps(self.facts, indent=2, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """Return title and sections."""
        return "\n\n".join([f"# {self.title}", *self.sections]) + "\n"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table in Markdown whose columns line up as plain text too; numbers stand right."""
    cells = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in (head, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    right = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(_pad(*cell) for cell in zip(row, widths, right, strict=True)) + " |"
        for row in cells
    ]
    rule = "|".join(
        "-" * (width + 1) + (":" if is_right else "-") for width, is_right in zip(widths, right, strict=True)
    )
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).replace(",", "").replace(
        "%", ""
    ).strip().isdigit() or text in ("", "-")


def _pad(text: str, width: int, is_right: bool) -> str:
    return text.rjust(width) if is_right else text.ljust(width)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where a report goes: the same two flags for every command."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write report.json, report.md and pictures into DIR too"
    )


def check_output(arguments: argparse.Namespace) -> None:
    """Check that a step's report takes no other step's place in a folder. Raises PipelineError."""
    step = arguments.step
    if getattr(arguments, "output", None) is None:
        return
    folder = Path(arguments.output)
    path = folder / _NAME
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    found = before.get("step") if isinstance(before, dict) else None
    if found != step:
        whose = f"a report of {found!r}" if found else "a file of something else"
        raise PipelineError(
            f"--output {folder}: {path} is {whose}, which the report of {step!r} would replace: give another "
            f"folder, such as {folder / step}"
        )


def emit(report: Report, arguments: argparse.Namespace) -> None:
    """Print a report and the step that made it, and write it where `--output` says. Raises PipelineError."""
    step = getattr(arguments, "step", None)
    if step is not None:
        report = replace(report, facts={"step": step, **report.facts})
    if arguments.output is not None:
        _write(report, arguments.output)
    print_report(report, as_json=arguments.json)


def print_report(report: Report, *, as_json: bool) -> None:
    """Print a report."""
    print(report.to_json() if as_json else report.to_markdown(), end="\n" if as_json else "")


def _write(report: Report, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _NAME).write_text(report.to_json() + "\n", encoding="utf-8")
        (folder / "report.md").write_text(report.to_markdown(), encoding="utf-8")
        for name, picture in report.pictures.items():
            (folder / name).write_bytes(picture)
    except OSError as error:
        raise PipelineError(f"cannot write {error.filename or folder}: {error.strerror}") from None
