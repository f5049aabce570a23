"""Runs side by side, until one finds no memory: it waits for the others to end and has another try alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# The others may take long; then there is no telling whether they leave enough.
_PATIENCE_SECONDS = 10.0


class RunGate:
    """Counts the runs on threads of all models of a process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0

    @contextmanager
    def run(self, *, may_wait: bool) -> Iterator[None]:
        """Around a run: it begins when nobody waits to be alone, or at once where it may not wait."""
        with self._changed:
            if self._waiting and may_wait:
                self._changed.wait_for(lambda: not self._waiting, _PATIENCE_SECONDS)
            self._running += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self, *, may_wait: bool) -> Iterator[None]:
        """Within `run`: go on when no other runs, or at once where it may not wait."""
        if not may_wait:
            yield
            return
        self._leave()
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._running, _PATIENCE_SECONDS)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._waiting -= 1
                self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._running -= 1
            if self._waiting:
                self._changed.notify_all()
