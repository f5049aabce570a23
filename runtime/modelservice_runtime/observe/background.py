"""A thread that takes work off the request path; when it falls behind, work is dropped and counted."""

import logging
import queue
import threading
from collections.abc import Sequence

from modelservice_runtime.observe.exchange import Exchange, Stage

log = logging.getLogger(__name__)

CAPACITY = 10_000
"""Some seconds of a busy server; an exchange without bodies takes less than a kilobyte."""


class BackgroundObserver:
    """Hands exchanges to stages, one after the other, on a thread of its own."""

    def __init__(self, stages: Sequence[Stage], capacity: int = CAPACITY) -> None:
        self._stages = tuple(stages)
        self._queue: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._capacity = capacity
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="observe", daemon=True)
        self._thread.start()

    def __call__(self, exchange: Exchange) -> None:
        """Never blocks."""
        if self._queue.qsize() >= self._capacity:
            self._dropped += 1
        else:
            self._queue.put(exchange)

    def close(self, timeout_seconds: float) -> None:
        """Let the thread finish what is queued, for a bounded time."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)
        if self._dropped:
            log.warning("requests were left out of the access log and traces", extra={"count": self._dropped})

    def _work(self) -> None:
        while (exchange := self._queue.get()) is not None:
            for stage in self._stages:
                exchange = _guarded(stage, exchange) or exchange


def _guarded(stage: Stage, exchange: Exchange) -> Exchange | None:
    try:
        return stage(exchange)
    except Exception:
        log.warning("a request could not be logged or traced", exc_info=True)
        return None
