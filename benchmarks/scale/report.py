"""The results as tables and as a chart, put between two marks of a page of the docs."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from benchmarks.scale.results import EditRow, Result

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
    if any(one.edits for one in results):
        draw(folder / CHART, results)


def tables(results: Sequence[Result]) -> str:
    """Markdown: what does not depend on edits, then the edits; a dash is for what was not measured."""
    lines = [
        _row(["", *(f"{one.services:,} services" for one in results)]),
        _row(["---"] * (len(results) + 1)),
        *(_row([title, *(_cell(say, one) for one in results)]) for title, say in ROWS),
        *("", _row(EDIT_COLUMNS), _row(["---"] * len(EDIT_COLUMNS))),
        *(_row(_cells(one, row)) for one in results for row in one.edits),
        *("", f"Measured on {_machine()}."),
    ]
    return "\n".join(lines)


def _cell(say: Callable[[Any], str], result: Result) -> str:
    try:
        return say(result)
    except (AttributeError, ValueError):  # that scenario was not run, or came to no end
        return "-"


# Each asks for what may be None.
ROWS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("Cold start: everything is read", lambda one: f"{one.cold.first_seconds:.1f} s"),
    ("Cold start: every service was decided on", lambda one: f"{one.cold.looked_seconds:.1f} s"),
    ("Memory after the start", lambda one: f"{one.cold.rss_mib:.0f} MiB"),
    ("Memory at the end of all edits", lambda one: f"{max(row.rss_mib for row in one.edits):.0f} MiB"),
    ("Leader killed: another leads after", lambda one: f"{one.failover.first_seconds:.1f} s"),
    (
        "Writes of a cold start, of a new leader",
        lambda one: f"{one.cold.writes:.0f}, {one.failover.writes:.0f}",
    ),
    ("Writes at rest", lambda one: f"{one.rest.writes:.0f}"),
    ("Calls at rest", lambda one: f"{one.rest.calls_per_second:.2f} a second"),
    ("CPU at rest", lambda one: f"{one.rest.cpu_percent:.1f} % of a core"),
    ("A newer image in waves: members", lambda one: f"{one.wave.members}"),
    ("Time until all have it", lambda one: f"{one.wave.seconds:.0f} s"),
    (
        "Moving at once, and the most that may",
        lambda one: f"{one.wave.most_moving}, {one.wave.most_concurrent}",
    ),
    ("Writes a member, and CPU", lambda one: f"{one.wave.writes:.1f}, {one.wave.cpu_ms:.0f} ms"),
    ("An edit of a small tenant, p50 / p99: others at rest", lambda one: f"{one.tenants.rest}"),
    ("All services of another are due", lambda one: f"{one.tenants.due}"),
)
EDIT_COLUMNS = (
    *("Services", "Edit", "Rate", "Deployment p50 / p99", "Status p50 / p99", "ConfigMap p50 / p99"),
    *("Calls", "CPU", "Control plane's CPU", "Cores busy"),
)


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
        "-" if row.plane_cpu_ms is None else f"{row.plane_cpu_ms:.0f} ms",
        f"{row.busy_percent:.0f} %",
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
