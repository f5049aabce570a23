"""Figures of a model, out of the reports of `modelservice model evaluate`, as its card shows them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.package.folder import ModelFolder, read_text

_REPORT_FILE = "report.json"
# What the Hub calls by another name, or with an argument.
_TYPES = {"rmse": "rmse", "chrf": "chrf", "log_loss": "log_loss", "ece": "expected_calibration_error"}
_EQUAL_TO_ACCURACY = ("precision_micro", "recall_micro", "f1_micro")
_AVERAGES = ("macro", "micro", "weighted")


@dataclass(frozen=True)
class Figure:
    """One figure with its interval; None where it was not made."""

    name: str
    value: float
    low: float | None
    high: float | None

    @property
    def base(self) -> str:
        """What the Hub calls the metric."""
        head, _, average = self.name.rpartition("_")
        plain = head if average in _AVERAGES else self.name
        return _TYPES.get(plain, plain)

    @property
    def average(self) -> str:
        """How classes were averaged; empty where they were not."""
        average = self.name.rpartition("_")[2]
        return average if average in _AVERAGES else ""


@dataclass(frozen=True)
class Evaluation:
    """What a report says."""

    task: str
    data_name: str
    data_sha256: str
    rows: int
    confidence: float | None
    figures: tuple[Figure, ...]


def find_evaluations(folder: ModelFolder, named: Sequence[Path]) -> tuple[Evaluation, ...]:
    """Return the evaluations that are named, else those that lie in the folder. Raises PipelineError."""
    if named:
        return tuple(_require(path) for path in named)
    paths = [path for name, path in folder.files.items() if name.rpartition("/")[2] == _REPORT_FILE]
    return tuple(dict.fromkeys(found for path in paths if (found := _read(path)) is not None))


def _require(path: Path) -> Evaluation:
    found = _read(path)
    if found is None:
        raise PipelineError(f"{path} is no report of 'modelservice model evaluate': it has no figures")
    return found


def _read(path: Path) -> Evaluation | None:
    """Return what a report says; None where it is of another command."""
    try:
        report = json.loads(read_text(path))
    except ValueError:
        raise PipelineError(f"{path} is not JSON: expected a report") from None
    if not isinstance(report, dict):
        return None
    data, figures = report.get("data"), report.get("figures")
    if not isinstance(data, dict) or not isinstance(figures, dict):
        return None
    hidden = {*_EQUAL_TO_ACCURACY, *_find_repeated(report, figures)}
    return Evaluation(
        str(report.get("task") or "other"),
        str(data.get("name") or "data"),
        str(data.get("sha256") or ""),
        int(data["rows"]) if isinstance(data.get("rows"), int) else 0,
        _number(report.get("confidence")),
        tuple(
            found
            for name, figure in figures.items()
            if name not in hidden and (found := _read_figure(str(name), figure))
        ),
    )


def _find_repeated(report: Mapping[str, Any], figures: Mapping[str, Any]) -> set[str]:
    """Return the figures that are means over classes under another name, as of more than two classes."""
    if report.get("positive") is not None:
        return set()
    return {name for name in ("precision", "recall", "f1") if f"{name}_macro" in figures}


def _read_figure(name: str, figure: object) -> Figure | None:
    said: Mapping[str, Any] = figure if isinstance(figure, dict) else {"value": figure}
    value = _number(said.get("value"))
    return None if value is None else Figure(name, value, _number(said.get("low")), _number(said.get("high")))


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]
