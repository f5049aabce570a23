"""Progress of long steps: a bar with an estimate on a terminal, a plain line now and then elsewhere."""

import os
import sys
import time
from typing import TextIO

BAR_WIDTH = 30
TERMINAL_INTERVAL_SECONDS = 0.2
PLAIN_INTERVAL_SECONDS = 15.0
# From this share on only the pace so far counts; before, the usual duration counts too.
TRUSTED_SHARE = 0.2


def estimate_left_seconds(elapsed_seconds: float, share: float, expected_seconds: float) -> float:
    """Return the seconds still to go, from the share done (0 to 1) and the usual duration."""
    usual = max(expected_seconds - elapsed_seconds, 0.0)
    if share <= 0.0:
        return usual
    weight = min(share / TRUSTED_SHARE, 1.0)
    pace = elapsed_seconds * (1.0 - share) / share
    return weight * pace + (1.0 - weight) * usual


def format_duration(seconds: float) -> str:
    """Return `seconds` as people say it: `45 s`, `3 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


class Progress:
    """One step that reports how far it is; `update` may be called as often as one likes."""

    def __init__(self, label: str, expected_seconds: float, stream: TextIO | None = None) -> None:
        self._label = label
        self._expected_seconds = expected_seconds
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty() and os.environ.get("CI", "") not in {"1", "true"}
        self._interval = TERMINAL_INTERVAL_SECONDS if self._terminal else PLAIN_INTERVAL_SECONDS
        self._started = time.monotonic()
        self._shown = self._started
        self._write(f"{label}: about {format_duration(expected_seconds)}", end="" if self._terminal else "\n")

    def update(self, share: float) -> None:
        """Show that `share` (0 to 1) is done, unless something was shown a moment ago."""
        now = time.monotonic()
        if now - self._shown < self._interval:
            return
        self._shown = now
        left = format_duration(estimate_left_seconds(now - self._started, share, self._expected_seconds))
        if self._terminal:
            done = round(BAR_WIDTH * share)
            bar = "#" * done + "-" * (BAR_WIDTH - done)
            self._write(f"\r\033[K{self._label} [{bar}] {share:4.0%}, {left} left", end="")
        else:
            self._write(f"{self._label}: {share:.0%}, {left} left")

    def finish(self, outcome: str = "done") -> None:
        """Replace the bar by one line with the time it took."""
        start = "\r\033[K" if self._terminal else ""
        self._write(f"{start}{self._label}: {outcome} in {format_duration(time.monotonic() - self._started)}")

    def _write(self, text: str, end: str = "\n") -> None:
        self._stream.write(text + end)
        self._stream.flush()
