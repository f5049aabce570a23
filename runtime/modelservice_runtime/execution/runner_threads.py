"""Threads that run models beside the event loop.

Less than `concurrent.futures`, because its locks and futures cost as much as the rest of a request: work
goes out through one queue and comes back as one call on the event loop.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

# Niceness above the event loop's: a tenth of its share where both want the same core.
_NICE = 10

Work = TypeVar("Work")
Result = TypeVar("Result")


class RunnerThreads(Generic[Work, Result]):
    """Calls `run` on one of `count` threads, then `done` on the event loop, for each piece of work.

    `run` must not raise: an error is logged and `failed` gets the work. The threads start with the first
    piece, unless `start` came before, and do not keep the process alive.
    """

    def __init__(
        self,
        count: int,
        name: str,
        loop: asyncio.AbstractEventLoop,
        run: Callable[[Work], Result],
        done: Callable[[Work, Result], None],
        failed: Callable[[Work], None],
    ) -> None:
        self._count = count
        self._name = name
        self._loop = loop
        self._run = run
        self._done = done
        self._failed = failed
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._started = 0

    def start(self, enter: Callable[[], None]) -> None:
        """Start the threads, each of which calls `enter` first; return when all have.

        Raises RuntimeError as `submit` does.
        """
        entered = threading.Semaphore(0)

        def enter_and_tell() -> None:
            enter()
            entered.release()

        earlier = self._started
        self._start_threads(enter_and_tell)
        for _ in range(self._started - earlier):
            entered.acquire()

    def submit(self, work: Work) -> None:
        """Have `work` run in its turn. Raises RuntimeError where no thread could be started."""
        if self._started < self._count:
            self._start_threads()
        self._queue.put(work)

    def stop(self) -> None:
        """End the threads behind what was submitted before."""
        for _ in range(self._started):
            self._queue.put(None)

    def _start_threads(self, enter: Callable[[], None] = lambda: None) -> None:
        """Start those that are missing; where the process may not have so many, fewer do the work."""
        try:
            while self._started < self._count:
                name = f"run-{self._name}-{self._started}"
                threading.Thread(target=self._serve, args=(enter,), name=name, daemon=True).start()
                self._started += 1
        except RuntimeError:
            if not self._started:
                raise
            log.warning("threads are missing", extra={"threads": self._started, "wanted": self._count})
            self._count = self._started

    def _serve(self, enter: Callable[[], None]) -> None:
        enter()
        _yield_to_the_event_loop()
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        work = self._queue.get()
        if work is None:
            return False
        try:
            call = partial(self._done, work, self._run(work))
        except Exception:  # the last boundary: the thread lives, and those who wait are told
            log.exception("internal error on a runner thread")
            call = partial(self._failed, work)
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return False
        return True


def _yield_to_the_event_loop() -> None:
    """Lower this thread's priority.

    With one core for both, a run would keep the event loop, and every fast model with it, waiting for its
    time slice; with half this niceness it still did (p99 of 1.7 ms, not 0.25 ms, beside a model of 2.7 ms).
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)
