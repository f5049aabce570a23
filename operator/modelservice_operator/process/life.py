"""The life of a process: its tasks, and what ends it.

Any task that ends by itself ends the process: a half-alive one helps nobody, and a restart costs no write.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from modelservice_operator.facts.errors import LeadershipLostError, OperatorError

if TYPE_CHECKING:
    from collections.abc import Container, Coroutine

log = logging.getLogger(__name__)


class Life:
    """Tasks that live until `over` is set: by a signal, or because one of them ended."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    @property
    def exit_code(self) -> int:
        """0 after a signal, 1 after a fault."""
        return 0 if self._failure is None else 1

    def spawn(self, name: str, coroutine: Coroutine[None, None, None]) -> None:
        """Start a task."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def listen_to_signals(self) -> None:
        """End on SIGINT and SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.over.set)

    async def end(self, spared: Container[str] = ()) -> None:
        """Cancel all tasks but those of these names, and wait for them."""
        self.over.set()
        tasks = [task for task in self._tasks if task.get_name() not in spared]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, timeout_seconds: float) -> None:
        """Wait for the tasks that are left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """No task may end before the process does, by a cancellation neither."""
        self._tasks.discard(task)
        # Also of those that end after the first: an error that nobody asks for is logged by asyncio.
        error = None if task.cancelled() else task.exception()
        if self.over.is_set():
            return
        self._failure = error or OperatorError(f"The task {task.get_name()!r} ended.")
        is_expected = isinstance(self._failure, OperatorError | LeadershipLostError)
        log.error("ending: %s", self._failure, exc_info=None if is_expected else self._failure)
        self.over.set()
