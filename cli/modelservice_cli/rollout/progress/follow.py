"""`rollout status -w`: looks again and again until the change has come to its end."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeVar

from modelservice_cli.rollout.cluster.errors import UnavailableError
from modelservice_cli.rollout.cluster.read import Reader
from modelservice_cli.rollout.progress.status import RolloutStatus, rollout_status
from modelservice_cli.rollout.progress.text import status_line
from modelservice_cli.rollout.report import one_line

LOOK_SECONDS = 1.0
"""A few small reads a second: nothing to lose when a connection breaks, and nothing to catch up with."""
TIMED_OUT = 124
"""As the command `timeout` says it."""

Show = Callable[[RolloutStatus], None]


class Followed(Protocol):
    """What one look at a change tells of its end."""

    @property
    def exit_code(self) -> int | None:
        """With what a command ends that follows the change, None while it goes on."""

    @property
    def waits_for(self) -> str:
        """What a person has to say before it goes on, and why; empty where it waits for nobody."""


Look = TypeVar("Look", bound=Followed)


def follow(reader: Reader, show: Show, timeout_seconds: int | None, *, until_paused: bool = False) -> int:
    """Show every look at the change of a ModelService, as `follow_looks` does."""
    return follow_looks(
        lambda: rollout_status(reader.everything()), show, timeout_seconds, until_paused=until_paused
    )


def follow_looks(
    look: Callable[[], Look],
    show: Callable[[Look], None],
    timeout_seconds: int | None,
    *,
    until_paused: bool = False,
) -> int:
    """Show every look at a change; returns the exit code. Raises CommandError.

    `until_paused` takes a pause that a person has to end for the end. An API server that is away for a while
    is waited for, once it has answered.
    """
    deadline = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    status: Look | None = look()
    while True:
        if status is not None:
            show(status)
            if status.exit_code is not None:
                return status.exit_code
            if until_paused and status.waits_for:
                return 0
        left = deadline - time.monotonic()
        if left <= 0:
            waits = f": {status.waits_for}" if status is not None and status.waits_for else ""
            print(
                f"modelservice: the change has not ended within {timeout_seconds} s{waits}", file=sys.stderr
            )
            return TIMED_OUT
        time.sleep(min(LOOK_SECONDS, left))
        status = _again(look, is_told=status is None)


def _again(look: Callable[[], Look], *, is_told: bool) -> Look | None:
    """Return None where nobody answers; `is_told` says that the look before said so already."""
    try:
        return look()
    except UnavailableError as error:
        if not is_told:
            print(f"modelservice: {one_line(str(error))}; trying again", file=sys.stderr)
        return None


@contextlib.contextmanager
def shower(output: str) -> Iterator[Show]:
    """Yield how to show a status: as a live view in a terminal, else as lines, one for each change."""
    if output == "text" and is_interactive(os.environ, is_terminal=sys.stdout.isatty()):
        from modelservice_cli.rollout.progress.live import live_view

        with live_view() as show:
            yield show
    else:
        yield only_changes(_as_json_line if output == "json" else status_line)


def is_interactive(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Whether a view that redraws itself is of use: not in a log, and not where somebody wants it plain."""
    is_plain = (
        environment.get("CI", "").lower() not in ("", "0", "false")
        or environment.get("NO_COLOR", "") != ""
        or environment.get("TERM") == "dumb"
    )
    return is_terminal and not is_plain


def only_changes(to_line: Callable[[Look], str]) -> Callable[[Look], None]:
    """Return what prints a look as a line, unless that is the line before."""
    last: str | None = None

    def show(status: Look) -> None:
        nonlocal last
        line = to_line(status)
        if line != last:
            print(line, flush=True)
        last = line

    return show


def _as_json_line(status: RolloutStatus) -> str:
    return json.dumps(status.as_json())
