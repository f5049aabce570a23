"""Keeps a library that repeats itself from filling the log."""

import logging
import time
from collections.abc import Callable


class SeldomHandler(logging.Handler):
    """Passes a record on to the root's handlers, and then none for `pause_seconds`."""

    def __init__(self, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._next = clock()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on where it is time."""
        now = self._clock()
        if now >= self._next:
            self._next = now + self._pause_seconds
            logging.getLogger().handle(record)


def log_seldom(name: str, pause_seconds: float) -> None:
    """Let a library's loggers say something once in a while."""
    logger = logging.getLogger(name)
    logger.addHandler(SeldomHandler(pause_seconds))
    logger.propagate = False
