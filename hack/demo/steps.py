"""Progress lines: what happens now, and how long it has been going on."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def format_elapsed(seconds: float) -> str:
    """Return a column of constant width: `   7 s`, `12:05  `."""
    whole = int(seconds)
    return f"{whole:4d} s" if whole < 600 else f"{whole // 60:3d}:{whole % 60:02d}"


class Steps:
    """Prints one line as each step begins, with the time since the demo began.

    Nothing is overwritten, so the lines read the same on a terminal and in the log of a CI job.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._started = time.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Return the seconds since the demo began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print one line with the elapsed time."""
        print(f"[{format_elapsed(self.elapsed_seconds)}] {text}", file=self._stream, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Name a step; say how long it took where that was worth a line."""
        begun = time.monotonic()
        self.say(text)
        yield
        took = time.monotonic() - begun
        if took >= 5:
            self.say(f"  done in {took:.0f} s")
