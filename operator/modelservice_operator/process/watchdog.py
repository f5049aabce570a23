"""The watchdog ends a process that only looks alive; the kubelet starts it again.

Two things have been seen in practice: a watcher of the framework that was cancelled and never missed, and
an event loop that no longer turns. The first is found by a task, the second only by a thread.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from modelservice_operator import common_metrics
from modelservice_operator.facts.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
STALLED_SECONDS = 30.0
"""Far above the longest honest pause (a page of 500 objects takes 0.1 s), below liveness probes' patience."""
CHECK_SECONDS = 5.0
CHECKS_FAILED = 3
"""The framework replaces watchers when it reconnects; missing three times in a row is missing."""
EXIT_STALLED = 70
LAST_WORDS_SECONDS = 1.0


class Heartbeat:
    """Beats in the event loop and is listened to from a thread."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._ended = threading.Event()

    @property
    def age_seconds(self) -> float:
        """Time since the event loop last turned."""
        return time.monotonic() - self._beat_at

    async def run(self) -> None:
        """Beat until cancelled; a heart that was stopped on purpose has not stalled."""
        self._beat_at = time.monotonic()
        threading.Thread(target=self._listen, name="heartbeat", daemon=True).start()
        try:
            while True:
                due = time.monotonic() + BEAT_SECONDS
                await asyncio.sleep(BEAT_SECONDS)
                self._beat_at = time.monotonic()
                common_metrics.LOOP_LAG_SECONDS.set(max(0.0, self._beat_at - due))
        finally:
            self._ended.set()

    def _listen(self) -> None:
        while self.age_seconds < STALLED_SECONDS:
            if self._ended.wait(BEAT_SECONDS):
                return
        # Where nobody reads the log any more, these words would wait as the event loop does.
        last_words = threading.Timer(LAST_WORDS_SECONDS, os._exit, (EXIT_STALLED,))
        last_words.daemon = True
        last_words.start()
        log.critical("the event loop has stalled for %.0f seconds: exiting", self.age_seconds)
        faulthandler.dump_traceback(sys.stderr)
        os._exit(EXIT_STALLED)


async def guard_tasks(expected: Collection[str], check_seconds: float = CHECK_SECONDS) -> None:
    """Raise OperatorError as soon as a task of one of these names has been missing for some checks."""
    missed = dict.fromkeys(expected, 0)
    while True:
        await asyncio.sleep(check_seconds)
        running = {task.get_name() for task in asyncio.all_tasks()}
        for name in missed:
            missed[name] = 0 if name in running else missed[name] + 1
            if missed[name] >= CHECKS_FAILED:
                raise OperatorError(f"The task {name!r} is gone: starting over.")


def is_alive(heartbeat: Heartbeat) -> Callable[[], bool]:
    """Liveness as `/healthz` reports it."""
    return lambda: heartbeat.age_seconds < STALLED_SECONDS
