"""Draw what was recorded: `python picture.py RECORD.json PICTURE.png`."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter

OLD, NEW, BOUND, ASKED = "#64748b", "#2563eb", "#dc2626", "#93c5fd"
GOOD, BAD = "#dcfce7", "#fee2e2"
PLAIN = FormatStrFormatter("%g")
SHARES = {"NonFiniteRatio": ("s", NEW, 7), "ErrorRatio": ("o", "white", 4)}


def draw(record: dict[str, Any], path: Path) -> None:
    """Three courses over time, one above the other: traffic, errors, latency."""
    figure, (weights, shares, latency) = plt.subplots(3, 1, figsize=(11, 7.5), sharex=True)
    for axes in (weights, shares, latency):
        _draw_candidates(axes, record["candidates"])
        axes.spines[["top", "right"]].set_visible(False)
    _name_candidates(weights, record)
    _draw_weights(weights, record)
    _draw_shares(shares, record["verdicts"])
    _draw_latency(latency, record["verdicts"])
    latency.set_xlabel("seconds")
    for axes in (weights, shares, latency):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def _draw_candidates(axes: Axes, candidates: list[dict[str, Any]]) -> None:
    for one in candidates:
        color = GOOD if one["phase"] == "Complete" else BAD
        axes.axvspan(one["from"], one["to"], color=color, linewidth=0, zorder=0)


def _name_candidates(axes: Axes, record: dict[str, Any]) -> None:
    for one in record["candidates"]:
        failed = [
            verdict.get("metric", verdict["gate"])
            for verdict in record["verdicts"]
            if verdict["version"] == one["version"] and verdict["result"] == "Failed"
        ]
        end = "promoted" if one["phase"] == "Complete" else "\n".join(["stopped:", *failed[:1]])
        text = f"version {one['version']}:\n{one['what']}\n{end}"
        middle = (one["from"] + one["to"]) / 2
        axes.annotate(
            text, (middle, 1.03), xycoords=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=9
        )


def _draw_weights(axes: Axes, record: dict[str, Any]) -> None:
    for index, one in enumerate(record["candidates"]):
        points = [point for point in record["weights"] if point["version"] == one["version"]]
        at = [point["at"] for point in points]
        labels = ("pods of the new version", "weight asked for") if index == 0 else (None, None)
        actual, desired = ([point[name] for point in points] for name in ("actual", "desired"))
        axes.fill_between(at, actual, step="post", color=NEW, alpha=0.35, linewidth=0, label=labels[0])
        axes.step(at, desired, where="post", color=NEW, linewidth=1.5, label=labels[1])
    axes.set_ylim(0, 105)
    axes.set_ylabel("traffic, %")


def _draw_shares(axes: Axes, verdicts: list[dict[str, Any]]) -> None:
    for metric, (marker, color, size) in SHARES.items():
        points = [one for one in verdicts if one.get("metric") == metric and "value" in one]
        at = [one["at"] for one in points]
        values = [100 * float(one["value"]) for one in points]
        axes.plot(
            at, values, marker, color=color, markeredgecolor=NEW, label=f"{metric}, new", markersize=size
        )
        limits = [(one["at"], 100 * float(one["threshold"])) for one in points if "threshold" in one]
        if limits:
            axes.plot(*zip(*limits, strict=True), "_", color=BOUND, markersize=12, label=f"{metric}, bound")
    axes.set_ylabel("answers, %")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_ylim(-0.02, 100)
    axes.yaxis.set_major_formatter(PLAIN)


def _draw_latency(axes: Axes, verdicts: list[dict[str, Any]]) -> None:
    points = [one for one in verdicts if one.get("metric") == "LatencyP99" and "value" in one]
    series = (("value", NEW, "o", "new"), ("stable", OLD, "o", "old"))
    for name, color, marker, label in (*series, ("threshold", BOUND, "_", "bound")):
        known = [(one["at"], 1000 * float(one[name])) for one in points if name in one]
        if known:
            size = 12 if marker == "_" else 5
            axes.plot(*zip(*known, strict=True), marker, color=color, markersize=size, label=f"p99, {label}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set_ylabel("p99 latency, ms")


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
