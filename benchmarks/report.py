"""The results as a table, and as a picture for the docs."""

from collections.abc import Sequence
from html import escape

from benchmarks.cases import OURS, Case

_WIDTH, _LABEL, _BAR, _LINE = 760, 190, 420, 26
_COLORS = {OURS: "#2563eb"}
_OTHER = "#94a3b8"


def print_case(case: Case) -> None:
    print(f"\n{case.title}")
    for name, row in case.rows.items():
        print(
            f"  {name:<20} {row.per_second:>10,.0f}/s  best {row.best_per_second:>10,.0f}/s  "
            f"p50 {row.p50_us:>9,.0f} us  p99 {row.p99_us:>9,.0f} us  CPU {row.cpu_us:>9,.1f} us"
        )
    for goal in case.goals:
        sign, mark = "<=" if goal.at_most else ">=", "ok" if goal.met else "missed"
        by_cpu = "" if goal.by_cpu is None else f", by CPU time {goal.by_cpu:.2f}"
        print(f"  against {goal.name}: {goal.value:.2f} ({sign} {goal.target:.2f}) {mark}{by_cpu}")
    for note in case.notes:
        print(f"  not measured: {note}")


def draw(cases: Sequence[Case]) -> str:
    """An SVG of every case's rates, each beside the others of its case."""
    parts: list[str] = []
    y = 10
    for case in cases:
        if len(case.rows) < 2:
            continue
        parts.append(f'<text x="8" y="{y + 16}" font-weight="bold">{escape(case.title)}</text>')
        y += _LINE
        most = max(row.best_per_second for row in case.rows.values())
        for name, row in case.rows.items():
            width = max(_BAR * row.best_per_second / most, 1)
            color = _COLORS.get(name, _OTHER)
            parts.append(f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_LABEL}" y="{y + 2}" width="{width:.1f}" height="18" fill="{color}"/>')
            label = f"{row.best_per_second:,.0f}/s"
            parts.append(f'<text x="{_LABEL + width + 6:.1f}" y="{y + 15}">{label}</text>')
            y += _LINE
        y += 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
