"""Draw what was recorded: `python picture.py RECORD.json PICTURE.png`."""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter

LOAD, WANTED, READY, LATE = "#64748b", "#93c5fd", "#2563eb", "#dc2626"


def draw(record: dict[str, Any], path: Path) -> None:
    """Three courses over time, one above the other: clients, pods, latency."""
    figure, (clients, pods, latency) = plt.subplots(3, 1, figsize=(11, 7), sharex=True)
    points = record["points"]
    at = [point["at"] for point in points]
    clients.fill_between(at, [point["clients"] for point in points], step="post", color=LOAD, alpha=0.4)
    clients.set_ylabel("clients")
    pods.fill_between(
        at, [point["ready"] for point in points], step="post", color=READY, alpha=0.35, label="ready"
    )
    pods.step(at, [point["wanted"] for point in points], where="post", color=READY, label="wanted")
    pods.set_ylabel("pods")
    _draw_latency(latency, record["answers"])
    _draw_burst(clients, points, record["answers"])
    latency.set_xlabel("seconds")
    for axes in (clients, pods, latency):
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (pods, latency):
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def _draw_latency(axes: Axes, answers: list[tuple[float, float]]) -> None:
    """By the second in which they came: the median, and what 99 of 100 took at most."""
    by_second = defaultdict(list)
    for at, took in answers:
        by_second[int(at)].append(took)
    seconds = sorted(by_second)
    for share, color, label in ((0.5, READY, "p50"), (0.99, LATE, "p99")):
        values = [sorted(by_second[one])[int(share * (len(by_second[one]) - 1))] for one in seconds]
        axes.plot(seconds, values, ".", color=color, label=label, markersize=5)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_ylabel("latency, s")


def _draw_burst(axes: Axes, points: list[dict[str, Any]], answers: list[tuple[float, float]]) -> None:
    """Mark the requests that came while nobody else asked."""
    quiet_since = max((one["at"] for one in points if one["clients"]), default=0.0)
    late = [(at, took) for at, took in answers if at - took > quiet_since + 1]
    if late:
        begun = min(at - took for at, took in late)
        axes.annotate(
            f"{len(late)} requests\nat once",
            (begun, 0),
            (begun, axes.get_ylim()[1] * 0.6),
            arrowprops={"arrowstyle": "->"},
            ha="center",
            fontsize=9,
        )


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
