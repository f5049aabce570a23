"""How far a long step has come: a bar in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

_Item = TypeVar("_Item")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Yield the items, and tell on standard error how many of them are done.

    Args:
        items: What is worked on.
        what: What is done with them, as in "Evaluating".
        total: How many there are; by default their length, where they have one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as draw

        yield from draw(items, what, total, console=Console(stderr=True), transient=True)
        return
    yield from _print_lines(items, what, total)


def _print_lines(items: Iterable[_Item], what: str, total: int | None) -> Iterator[_Item]:
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{what}: {done}" + (f" of {total}" if total else ""), file=sys.stderr, flush=True)


def say(sentence: str) -> None:
    """Tell a step, on standard error: standard output is the report's."""
    print(sentence, file=sys.stderr, flush=True)
