"""The live views of commands in a terminal; nothing else draws."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

from modelservice_cli.rollout.facts import Object
from modelservice_cli.rollout.progress.change import Mark, Step
from modelservice_cli.rollout.progress.gates import merge, trends
from modelservice_cli.rollout.progress.status import RevisionStatus, RolloutStatus, State
from modelservice_cli.rollout.progress.text import (
    change_lines,
    closing_parts,
    count_text,
    gate_parts,
    headline,
    pod_parts,
)
from modelservice_cli.rollout.report import Part, Table, one_line, printable, printable_table

_STYLES: dict[State, str] = {
    "Unobserved": "yellow",
    "Progressing": "cyan",
    "Paused": "yellow",
    "Complete": "green",
    "Degraded": "yellow",
    "Stalled": "red",
    "GivenUp": "red",
}
_MARKS: dict[Mark, tuple[str, str]] = {
    "done": ("✓", "green"),
    "now": ("▶", "bold cyan"),
    "stopped": ("✗", "red"),
    "skipped": ("↷", "dim"),
    "next": ("○", "dim"),
}
_BAR_STYLES = {"■": "green", "▪": "cyan", "✗": "red", "◄": "yellow", "-": "dim", "·": "dim"}
"""Colours of what bars of nothing but such marks are made of."""
_BAR_CELLS = 10
_SHORT_CELLS = 20
"""Columns of short texts keep them on one line; the long ones share what is left."""
_TREND_CELLS = 40
"""With the columns beside it this leaves 80 columns whole."""


@contextlib.contextmanager
def live_view(console: Console | None = None) -> Iterator[Callable[[RolloutStatus], None]]:
    """Yield what draws a status over the one before; the last one stays on the screen.

    What the terminal has no room for is cut off at the bottom while it is redrawn: the last one is whole.
    """
    known: tuple[Object, ...] = ()
    shown_change = ""

    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:

        def show(status: RolloutStatus) -> None:
            nonlocal known, shown_change
            revision = status.change.revision if status.change else ""
            known = merge(known if revision == shown_change else (), status.verdicts)
            shown_change = revision
            live.update(draw(status, datetime.now(UTC), known), refresh=True)

        yield show


@contextlib.contextmanager
def live_parts(console: Console | None = None) -> Iterator[Callable[[Sequence[Part]], None]]:
    """Yield what draws parts over those before; the last ones stay on the screen."""
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        yield lambda parts: live.update(Group(*map(draw_part, parts)), refresh=True)


@contextlib.contextmanager
def live_count(what: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """Yield what draws how many of how many are done; nothing of it stays on the screen."""
    with Progress(console=console or Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, of_all: bars.update(task, completed=done, total=of_all)


def draw(status: RolloutStatus, now: datetime, verdicts: Sequence[Object]) -> RenderableType:
    """Return a status for a terminal, what matters most first.

    `verdicts` are those of which the courses are drawn: more than the status still knows.
    """
    parts: list[RenderableType] = [draw_part(headline(status), _STYLES[status.state])]
    parts += [draw_part(line) for line in change_lines(status, now)]
    if status.change and status.change.steps and not status.change.is_over:
        parts.append(_steps(status.change.steps))
    if status.revisions:
        parts.append(_revisions(status.revisions))
    parts += [draw_part(part) for part in pod_parts(status)]
    courses = trends(verdicts, _TREND_CELLS)
    if courses:
        parts.append(draw_part(Table(("COURSE", "OF", "", "LAST"), tuple(courses))))
    # One round of verdicts: the courses show those before.
    parts += [draw_part(part) for part in (*gate_parts(status, now, 1), *closing_parts(status))]
    return Group(*parts)


def _steps(steps: Sequence[Step]) -> RenderableType:
    row = Text()
    for step in steps:
        mark, style = _MARKS[step.mark]
        # Blanks within a step must not be where the row is broken.
        row.append(f"{mark} {one_line(step.text)}".replace(" ", "\N{NO-BREAK SPACE}"), style)
        row.append("  ")
    return row


def _revisions(revisions: Sequence[RevisionStatus]) -> RenderableType:
    header = ("REVISION", "ROLE", "TRAFFIC", "GOAL", "PODS", "MODEL")
    rows = (
        (
            one.revision,
            one.role,
            f"{bar(one.traffic)} {one.traffic:3}%",
            f"{one.weight}%",
            count_text(one),
            one.model or "?",
        )
        for one in revisions
    )
    return draw_part(Table(header, tuple(rows)))


def bar(percent: int) -> str:
    """Return a bar for a share; one that is not 0 is seen, and one that is not all is not full."""
    filled = round(percent * _BAR_CELLS / 100)
    if 0 < percent < 100:
        filled = min(max(filled, 1), _BAR_CELLS - 1)
    return "█" * filled + "░" * (_BAR_CELLS - filled)


def draw_part(part: Part, style: str = "") -> RenderableType:
    """Return a sentence or a table for a terminal."""
    # Texts, never markup: what a status says in brackets is its own.
    if isinstance(part, str):
        return Text(printable(part), style)
    table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    rows = printable_table(part).rows
    for index, name in enumerate(part.header):
        is_short = max((len(row[index]) for row in rows), default=0) <= _SHORT_CELLS
        table.add_column(name, overflow="fold", no_wrap=is_short)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(text: str) -> Text:
    """A text as it is; a bar in its colours."""
    marks = set(text)
    if marks <= {"-"} or not marks <= _BAR_STYLES.keys():
        return Text(text)
    return Text.assemble(*((mark, _BAR_STYLES[mark]) for mark in text))
