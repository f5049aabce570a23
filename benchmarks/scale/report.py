"""The results as tables and as a chart, put between two marks of a page of the docs."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from benchmarks.scale.phases import EditRow, Result

PAGE, CHART = "operator-performance.md", "operator-performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GOAL_MS = 1_000
SERIES = (
    ("API server: patch of a ConfigMap, p99", "plain_p99", "#94a3b8"),
    ("edit to Deployment, p50", "deployment_p50", "#93c5fd"),
    ("edit to Deployment, p99", "deployment_p99", "#2563eb"),
    ("edit to status, p99", "status_p99", "#f59e0b"),
)


def write_docs(folder: Path, results: Sequence[Result]) -> None:
    """Write the chart, and the tables into the page."""
    page = folder / PAGE
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables(results)}\n{END}{after}", encoding="utf-8")
    draw(folder / CHART, results)


def tables(results: Sequence[Result]) -> str:
    """Markdown: what does not depend on edits, then the edits."""
    columns = [f"{one.services:,} services" for one in results]
    rows = [
        ("Cold start: everything is read", [f"{one.cold_synced_seconds:.1f} s" for one in results]),
        ("Cold start: every service was decided on", [f"{one.cold_looked_seconds:.1f} s" for one in results]),
        ("Memory after the start", [f"{one.start_rss_mib:.0f} MiB" for one in results]),
        ("Memory at the end of all edits", [f"{one.most_rss_mib:.0f} MiB" for one in results]),
        ("Leader killed: another leads after", [f"{one.failover_seconds:.1f} s" for one in results]),
        ("Writes of a cold start, of a new leader", [_writes_of_starts(one) for one in results]),
        ("Writes at rest", [f"{one.rest_writes:.0f}" for one in results]),
        ("Calls at rest", [f"{one.rest_calls_per_second:.2f} a second" for one in results]),
        ("CPU at rest", [f"{one.rest_cpu_percent:.1f} % of a core" for one in results]),
    ]
    lines = [_row(["", *columns]), _row(["---"] * (len(columns) + 1))]
    lines += [_row([title, *cells]) for title, cells in rows]
    lines += ["", _row(EDIT_COLUMNS), _row(["---"] * len(EDIT_COLUMNS))]
    lines += [_row(_cells(one, row)) for one in results for row in one.edits]
    lines += ["", f"Measured on {_machine()}."]
    return "\n".join(lines)


EDIT_COLUMNS = (
    *("Services", "Edit", "Rate", "Deployment p50 / p99", "Status p50 / p99", "ConfigMap p50 / p99"),
    *("Calls", "CPU"),
)


def _writes_of_starts(one: Result) -> str:
    return f"{one.cold_writes:.0f}, {one.failover_writes:.0f}"


def _cells(one: Result, row: EditRow) -> list[str]:
    return [
        f"{one.services:,}",
        f"`{row.kind}`",
        f"{row.rate:.0f}/s",
        f"{row.deployment_p50:.0f} / {row.deployment_p99:.0f} ms",
        f"{row.status_p50:.0f} / {row.status_p99:.0f} ms",
        f"{row.plain_p50:.0f} / {row.plain_p99:.0f} ms",
        f"{row.calls:.1f}",
        f"{row.cpu_ms:.0f} ms",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{len(models)} cores ({model}), which the control plane and the users of the test shared"


def draw(path: Path, results: Sequence[Result]) -> None:
    """One panel for each kind of edit: latencies by number of services and rate."""
    mpl.rcParams["svg.hashsalt"] = path.name
    kinds = list(dict.fromkeys(row.kind for one in results for row in one.edits))
    figure, panels = plt.subplots(1, len(kinds), figsize=(11, 4.2), sharey=True, squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        rows = [(one.services, row) for one in results for row in one.edits if row.kind == kind]
        _draw_panel(axes, kind, rows)
    panels[0][0].set_ylabel("milliseconds")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_panel(axes: Axes, kind: str, rows: Sequence[tuple[int, EditRow]]) -> None:
    width = 0.8 / len(SERIES)
    for place, (label, field, color) in enumerate(SERIES):
        heights = [getattr(row, field) for _, row in rows]
        places = [index + (place - len(SERIES) / 2 + 0.5) * width for index in range(len(rows))]
        axes.bar(places, heights, width, label=label, color=color)
    axes.axhline(GOAL_MS, color="#64748b", linestyle="--", linewidth=1)
    axes.set_yscale("log")
    axes.set_title(f"an edit of {kind}", fontsize=11)
    axes.set_xticks(range(len(rows)), [f"{services:,}\n{row.rate:.0f}/s" for services, row in rows])
    axes.spines[["top", "right"]].set_visible(False)
