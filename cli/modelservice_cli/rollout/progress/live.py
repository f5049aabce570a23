"""The live view of `rollout status -w` in a terminal."""

import contextlib
from collections.abc import Callable, Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from modelservice_cli.rollout.progress.status import RolloutStatus, State, status_report
from modelservice_cli.rollout.report import Part, printable, printable_table

_STYLES: dict[State, str] = {
    "Unobserved": "yellow",
    "Progressing": "cyan",
    "Complete": "green",
    "Degraded": "yellow",
    "Stalled": "red",
    "GivenUp": "red",
}


@contextlib.contextmanager
def live_view(console: Console | None = None) -> Iterator[Callable[[RolloutStatus], None]]:
    """Yield what draws a status over the one before; the last one stays on the screen."""
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        yield lambda status: live.update(draw(status), refresh=True)


def draw(status: RolloutStatus) -> RenderableType:
    """Return a status for a terminal: the parts of its report, wrapped and in colours."""
    headline, *rest = status_report(status)
    return Group(_part(headline, _STYLES[status.state]), *(_part(part) for part in rest))


def _part(part: Part, style: str = "") -> RenderableType:
    # Texts, never markup: what a status says in brackets is its own.
    if isinstance(part, str):
        return Text(printable(part), style)
    table = RichTable(box=SIMPLE_HEAD, pad_edge=False)
    for name in part.header:
        table.add_column(name, overflow="fold")
    for row in printable_table(part).rows:
        table.add_row(*map(Text, row))
    return table
