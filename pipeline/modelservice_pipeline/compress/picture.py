"""Draws candidates by what they lose and what they win."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modelservice_pipeline.compress.search import LEAST_GAIN, Aim


@dataclass(frozen=True)
class Point:
    """A candidate: how many times as fast, with the quartiles; what it loses, and at most."""

    name: str
    gain: float
    gain_low: float
    gain_high: float
    drop: float
    drop_bound: float
    is_chosen: bool


def draw(points: Sequence[Point], metric: str, aim: Aim) -> bytes:
    """Return a PNG: times as fast to the right, loss upwards, the limits as lines."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.axhline(aim.max_drop, color="tab:red", linestyle="--", linewidth=1, label=f"most: {aim.max_drop:g}")
    axes.axvline(LEAST_GAIN, color="tab:gray", linestyle="--", linewidth=1, label=f"least: {LEAST_GAIN:g}")
    for point in points:
        axes.errorbar(
            [point.gain],
            [point.drop],
            xerr=[[point.gain - point.gain_low], [point.gain_high - point.gain]],
            yerr=[[0.0], [max(0.0, point.drop_bound - point.drop)]],
            fmt="*" if point.is_chosen else "o",
            markersize=12 if point.is_chosen else 6,
            color="tab:green" if point.is_chosen else "tab:blue",
            capsize=3,
        )
        axes.annotate(point.name, (point.gain, point.drop), xytext=(6, 6), textcoords="offset points")
    axes.set_xlabel("times as fast as the original")
    axes.set_ylabel(f"lost of {metric} (bar: 95 % bound)")
    axes.legend(loc="best")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()
