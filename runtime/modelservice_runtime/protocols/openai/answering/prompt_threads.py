"""Threads that make prompts, shared fairly: owners take turns, and what waits is bounded.

A template, a tokenizer or a form may take long, and no thread can be taken away from it. So one owner never
has all threads, the next work is that of the owner whose turn is longest ago, and each owner's work may wait
for as much room as all others leave (dynamic thresholds; Choudhury and Hahne, IEEE/ACM Transactions on
Networking 6(2), 1998): one owner alone gets half of the room, and a newcomer always finds some.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from modelservice_runtime.errors import OverloadedError

_MAX_RETRY_SECONDS = 60
# How much the latest work says of the next.
_WEIGHT = 0.2

Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Work(Generic[Result]):
    size: int
    run: Callable[[], Result]
    future: "Future[Result]"


@dataclass(slots=True, eq=False)
class _Owner:
    waiting: deque[_Work[object]] = field(default_factory=deque)
    waiting_size: int = 0
    running: int = 0


class PromptThreads:
    """Used on any thread. `max_waiting_size` is in the unit of `submit`'s `size`."""

    def __init__(self, threads: int, max_waiting_size: int) -> None:
        self._threads = threads
        self._max_waiting_size = max_waiting_size
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="prompts")
        self._lock = threading.Lock()
        # The one whose turn is longest ago comes first.
        self._owners: dict[str, _Owner] = {}
        self._waiting = 0
        self._waiting_size = 0
        self._work_seconds = 0.0

    def submit(self, owner: str, size: int, run: Callable[[], Result]) -> "Future[Result]":
        """Run it in its owner's turn. Raises OverloadedError where too much of the owner's waits."""
        work = _Work(size, run, Future[Result]())
        with self._lock:
            self._check(owner, size)
            one = self._owners.setdefault(owner, _Owner())
            one.waiting.append(work)  # type: ignore[arg-type]
            one.waiting_size += size
            self._waiting_size += size
            self._waiting += 1
        self._executor.submit(self._run_all)
        return work.future

    def _check(self, owner: str, size: int) -> None:
        known = self._owners.get(owner)
        if known is None or not known.waiting:
            return
        if known.waiting_size + size > self._max_waiting_size - self._waiting_size:
            seconds = self._waiting * self._work_seconds / self._threads
            retry_seconds = min(int(seconds) + 1, _MAX_RETRY_SECONDS)
            raise OverloadedError(
                f"{len(known.waiting)} requests of yours wait for their texts to be read, and there is no "
                f"room for more; try again in {retry_seconds} s",
                retry_after_seconds=retry_seconds,
            )

    def _run_all(self) -> None:
        """What may run; what an owner with enough threads has left is found by these behind their work."""
        while (taken := self._take()) is not None:
            owner, work = taken
            started = time.perf_counter()
            try:
                work.future.set_result(work.run())
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it, as of every executor
                work.future.set_exception(error)
            self._leave(owner, time.perf_counter() - started)

    def _take(self) -> tuple[str, _Work[object]] | None:
        most = max(self._threads - 1, 1)
        with self._lock:
            for name, owner in self._owners.items():
                if owner.waiting and owner.running < most:
                    work = owner.waiting.popleft()
                    owner.waiting_size -= work.size
                    owner.running += 1
                    self._waiting_size -= work.size
                    self._waiting -= 1
                    self._owners[name] = self._owners.pop(name)
                    return name, work
        return None

    def _leave(self, name: str, seconds: float) -> None:
        with self._lock:
            self._work_seconds += _WEIGHT * (seconds - self._work_seconds)
            owner = self._owners[name]
            owner.running -= 1
            if not owner.running and not owner.waiting:
                del self._owners[name]
