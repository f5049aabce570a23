"""Where lines wait and are written: none is lost, and who asks faster than they are written is turned away.

A request is let in only while few lines wait, so the reader of the log bounds how many requests are answered.
What is being answered then adds its lines all the same. Lines of strangers take a part of the places alone,
and are counted beyond it: a flood of them costs nobody else their place, and a line tells how many they were.
"""

import logging
import os
import queue
import threading
import time

from modelservice_runtime.audit.line import Line, render, render_unlisted
from modelservice_runtime.errors import ModelUnavailableError, OverloadedError

log = logging.getLogger(__name__)

# Some tenths of a second of the fastest server; a line takes less than a kilobyte.
_PLACES = 8192
_PLACES_OF_REFUSALS = 2048
# A pipe takes so much as a whole (POSIX, PIPE_BUF): lines of several workers do not mix.
_WHOLE_BYTES = 4096
_STANDARD_OUTPUT = 1
_GATHER_SECONDS = 0.005


class AuditLog:
    """Lines to standard output; all but `close` is for the event loop's thread."""

    def __init__(self, descriptor: int = _STANDARD_OUTPUT, places: int = _PLACES) -> None:
        self._descriptor = descriptor
        self._places = places
        self._places_of_refusals = min(_PLACES_OF_REFUSALS, places // 2)
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        # Two counters, one for each thread: nothing is added to both.
        self._unlisted = self._told = 0
        self._is_broken = False
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Raise ServingError where a request must not begin, because its line might not be written."""
        if self._is_broken:
            raise ModelUnavailableError("the audit log cannot be written; the server's log says why")
        if self._queue.qsize() >= self._places:
            raise OverloadedError("the audit log is not written fast enough; come back later")

    def add(self, line: Line) -> None:
        """Write the line of a request that was let in."""
        self._queue.put(line)

    def refuse(self, line: Line) -> None:
        """Write the line of a request that was not let in, or count it."""
        if self._queue.qsize() >= self._places_of_refusals:
            self._unlisted += 1
        else:
            self._queue.put(line)

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, for a bounded time."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            log.error(
                "the last lines of the audit log were not written", extra={"lines": self._queue.qsize()}
            )

    def _work(self) -> None:
        """The thread's work: what waits is written together, as far as it goes in as a whole."""
        goes_on = True
        while goes_on:
            batch, goes_on = self._next_batch()
            try:
                while batch:
                    batch = batch[os.write(self._descriptor, batch) :]
            except OSError as error:
                self._is_broken = True
                log.error(
                    "the audit log cannot be written; requests are refused", extra={"error": error.strerror}
                )
                return

    def _next_batch(self) -> tuple[bytes, bool]:
        """Wait for a line; return it with others that wait, and whether more may come."""
        batch = b""
        while not batch or (len(batch) < _WHOLE_BYTES // 2 and not self._queue.empty()):
            line = self._next_line()
            if line is None:
                return batch + self._take_unlisted(), False
            batch += render(line)
        if self._unlisted > self._told and self._queue.qsize() < self._places_of_refusals // 2:
            batch += self._take_unlisted()
        return batch, True

    def _next_line(self) -> Line | None:
        """Wait for a line, and where one had to be waited for also a moment for others: waking costs more."""
        if self._queue.empty():
            line = self._queue.get()
            if line is not None:
                time.sleep(_GATHER_SECONDS)
            return line
        return self._queue.get()

    def _take_unlisted(self) -> bytes:
        count = self._unlisted - self._told
        self._told += count
        return render_unlisted(time.time_ns(), count) if count else b""
