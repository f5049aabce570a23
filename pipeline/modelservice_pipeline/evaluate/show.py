"""A report's sections from its facts, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelservice_pipeline.evaluate.metrics import METRICS
from modelservice_pipeline.report.report import table

_MOST_CLASSES = 12
_MOST_PLAIN = 1e12
"""Greater numbers are shown with an exponent."""
_SLICE_METRICS = ("accuracy", "f1", "roc_auc", "mae", "rmse", "r2", "bleu", "chrf")
"""A few of all that the JSON report has, so that a line fits a screen."""
_EQUAL_TO_ACCURACY = ("precision_micro", "recall_micro", "f1_micro")
_EQUAL_TO_MACRO = ("precision", "recall", "f1")
"""Of more than two classes."""


def show_figures(facts: Mapping[str, Any]) -> list[str]:
    """Return the sections of one model."""
    sections = ["\n".join(f"- {note}" for note in facts["notes"])] if facts["notes"] else []
    sections.append(_show_intervals(facts))
    if facts["task"] == "classification":
        sections += [_show_classes(facts["classes"]), *_show_confusion(facts["confusion"])]
    sections += [_show_parts(f"By {name}", parts) for name, parts in facts["slices"].items()]
    if "folds" in facts:
        sections += _show_folds(facts["folds"])
    if "leave_one_out" in facts:
        sections.append(_show_leave_one_out(facts["leave_one_out"]))
    return sections


def show_comparison(comparison: Sequence[Mapping[str, Any]], names: tuple[str, str]) -> str:
    """Return a table of two models on the same rows."""
    head = ("metric", *names, "loss", "at most", "worse in")
    rows = [
        (
            METRICS[each["metric"]].title,
            *(_number(each[name]) for name in ("stable", "candidate", "drop", "bound")),
            f"{100 * each['share_worse']:.0f} %",
        )
        for each in comparison
        if each["metric"] not in _EQUAL_TO_ACCURACY
    ]
    return "## Both on the same rows\n\n" + table(head, rows)


def _show_intervals(facts: Mapping[str, Any]) -> str:
    hidden = {*_EQUAL_TO_ACCURACY, *(_EQUAL_TO_MACRO if facts["positive"] is None else ())}
    rows = [
        (METRICS[name].title, *(_number(figure[key]) for key in ("value", "low", "high")))
        for name, figure in facts["figures"].items()
        if name not in hidden
    ]
    about = f" (precision, recall and F1 of {facts['positive']})" if facts["positive"] is not None else ""
    return f"## Figures{about}\n\n" + table(("metric", "value", "from", "to"), rows)


def _show_classes(classes: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in classes[0] if name not in ("class", "rows")]
    head = ("class", "rows", *(METRICS[name].title for name in names))
    rows = [(str(one["class"]), str(one["rows"]), *(_number(one[name]) for name in names)) for one in classes]
    return "## Classes\n\n" + table(head, rows)


def _show_confusion(confusion: Mapping[str, Any]) -> list[str]:
    classes = [str(name) for name in confusion["classes"]]
    if len(classes) > _MOST_CLASSES:
        pairs = _find_confused(classes, confusion["matrix"])
        return ["## Most confused\n\n" + table(("label", "answer", "rows"), pairs)] if pairs else []
    rows = [(name, *map(str, counts)) for name, counts in zip(classes, confusion["matrix"], strict=True)]
    return ["## Confusion (labels down, answers across)\n\n" + table(("", *classes), rows)]


def _find_confused(classes: Sequence[str], matrix: Sequence[Sequence[int]]) -> list[tuple[str, str, str]]:
    cells = [
        (count, classes[row], classes[column])
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return [
        (label, answer, str(count)) for count, label, answer in sorted(cells, reverse=True)[:_MOST_CLASSES]
    ]


def _show_parts(title: str, parts: Sequence[Mapping[str, Any]]) -> str:
    names = [name for name in _SLICE_METRICS if name in parts[0]["figures"]]
    head = ("part", "rows", *(METRICS[name].title for name in names))
    rows = [
        (str(part["value"]), str(part["rows"]), *(_number(part["figures"][name]) for name in names))
        for part in parts
    ]
    return f"## {title}\n\n" + table(head, rows)


def _show_folds(folds: Mapping[str, Any]) -> list[str]:
    names = [name for name in _SLICE_METRICS if name in folds["summary"]]
    rows = [
        (
            METRICS[name].title,
            *(_number(folds["summary"][name][key]) for key in ("mean", "deviation", "least", "greatest")),
        )
        for name in names
    ]
    summary = table(("metric", "mean", "deviation", "least", "greatest"), rows)
    what = "each by a model that has not seen it" if folds["trained"] else "of the same model"
    return [_show_parts(f"{len(folds['parts'])} folds, {what}", folds["parts"]), summary]


def _show_leave_one_out(facts: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            METRICS[name].title,
            *(_number(figure[key]) for key in ("least", "greatest", "standard_error")),
            str(figure["row"]),
        )
        for name, figure in facts.items()
        if name in _SLICE_METRICS
    ]
    head = ("metric", "least", "greatest", "standard error", "most by row")
    return "## Without each row in turn\n\n" + table(head, rows)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value != 0 and abs(value) < 0.001:
        return f"{value:.2e}"
    if abs(value) >= _MOST_PLAIN:
        return f"{value:.4g}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.1f}"
