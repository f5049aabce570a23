"""Pictures of a report: reliability, ROC and precision-recall, the confusion of classes."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from modelservice_pipeline.evaluate.answers import distinct
from modelservice_pipeline.evaluate.calibration import compute_reliability
from modelservice_pipeline.evaluate.classification import Array, count_confusion
from modelservice_pipeline.evaluate.outputs import Found
from modelservice_pipeline.evaluate.ranking import Curve, compute_curve
from modelservice_pipeline.evaluate.sums import beyond_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CURVES = 10
_MOST_NAMES = 40
_DOTS_PER_INCH = 120
_DRAWN = 0x530
"""Latin, Greek and Cyrillic letters are before it: matplotlib's own font has them."""


@beyond_numbers
def draw_pictures(found: Found, positive: Any) -> dict[str, bytes]:
    """Return PNG files by name, those that have a meaning for these answers. Raises no error for odd data."""
    if found.task == "regression":
        return {"residuals.png": _draw_numbers(found)} if found.labels.ndim == 1 else {}
    if found.task != "classification":
        return {}
    pictures = {"confusion.png": _draw_confusion(found)}
    if found.answers.probabilities is not None:
        pictures |= {"reliability.png": _draw_reliability(found), "curves.png": _draw_curves(found, positive)}
    return pictures


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, in inches, that belongs to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def to_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG file, with nothing in it that differs between runs."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return content.getvalue()


def _draw_reliability(found: Found) -> bytes:
    points = compute_reliability(found.labels, found.answers)
    figure = new_figure(5, 6)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    upper.plot([0, 1], [0, 1], color="grey", linestyle="dotted", label="as sure as right")
    filled = points.counts > 0
    upper.plot(points.confidences[filled], points.accuracies[filled], marker="o", label="model")
    upper.set(ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1), title="Reliability")
    upper.legend()
    edges = np.linspace(0, 1, len(points.counts) + 1)
    lower.bar(edges[:-1], points.counts, width=np.diff(edges), align="edge")
    lower.set(xlabel="probability of the answer", ylabel="rows")
    return to_png(figure)


def _draw_curves(found: Found, positive: Any) -> bytes:
    figure = new_figure(9, 4.5)
    left, right = figure.subplots(1, 2)
    for name, curve in _compute_curves(found, positive):
        left.step(
            np.r_[0, curve.false_positive_rates],
            np.r_[0, curve.true_positive_rates],
            where="post",
            label=str(name),
        )
        right.step(curve.true_positive_rates, curve.precisions, where="pre", label=str(name))
    left.plot([0, 1], [0, 1], color="grey", linestyle="dotted")
    left.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.02))
    _set_legend(right)
    return to_png(figure)


def _compute_curves(found: Found, positive: Any) -> list[tuple[Any, Curve]]:
    probabilities, classes = found.answers.probabilities, found.answers.classes
    assert probabilities is not None
    assert classes is not None
    names = classes.tolist()
    chosen = [positive] if positive in names else names[:_MOST_CURVES]
    curves = []
    for name in chosen:
        is_positive = np.array([label == name for label in found.labels.tolist()])
        if is_positive.any() and not is_positive.all():
            curves.append((name, compute_curve(is_positive, probabilities[:, names.index(name)])))
    return curves


def _draw_confusion(found: Found) -> bytes:
    classes = distinct(found.labels, found.answers.predicted)
    counts = count_confusion(found.labels, found.answers.predicted, classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(6.5, 6)
    axes = figure.subplots()
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(picture, label="share of the rows of a class")
    axes.set(xlabel="answer", ylabel="label", title="Confusion")
    if len(classes) <= _MOST_NAMES:
        names = [_plain(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=90)
        axes.set_yticks(range(len(classes)), names)
    if len(classes) <= _MOST_CURVES:
        _write_counts(axes, counts, shares)
    return to_png(figure)


def _write_counts(axes: "Axes", counts: Array, shares: Array) -> None:
    for row, column in np.ndindex(counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)


def _draw_numbers(found: Found) -> bytes:
    figure = new_figure(5.5, 5)
    axes = figure.subplots()
    axes.scatter(found.labels, found.answers.predicted, s=6, alpha=0.5)
    least, greatest = (edge(np.r_[found.labels, found.answers.predicted]) for edge in (np.min, np.max))
    axes.plot([least, greatest], [least, greatest], color="grey", linestyle="dotted")
    axes.set(xlabel="label", ylabel="answer", title="Answers and labels")
    return to_png(figure)


def _set_legend(axes: "Axes") -> None:
    handles, names = axes.get_legend_handles_labels()
    if names:
        axes.legend(handles, [_plain(name) for name in names], fontsize="small")


def _plain(name: Any) -> str:
    """Return a name that a font draws and matplotlib does not take for a formula or a hidden entry."""
    text = str(name).replace("$", r"\$")
    shown = "".join(letter if ord(letter) < _DRAWN and letter.isprintable() else "?" for letter in text)
    return (shown if not shown.startswith("_") else f" {shown}")[:24]
