"""Requests that were answered alone, kept until a check with their rows says whether batches are right.

For models that made-up inputs do not suit, or that are too slow to be tried before they are ready. Event
loop's thread only, but for the check itself, which is on a thread of its own.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from modelservice_runtime.execution.batches.batch_queue import BatchKey
from modelservice_runtime.execution.rows.check import Row
from modelservice_runtime.execution.rows.checker import RowChecker
from modelservice_runtime.execution.rows.row_set import ROWS, cut_rows, distinct
from modelservice_runtime.execution.runner_threads import RunnerThreads
from modelservice_runtime.model import Batching
from modelservice_runtime.tensors import Array

# What may be kept of requests, together.
_MAX_BYTES = 16 << 20
# Kinds of requests that are looked at side by side.
_MAX_KEYS = 4
_MAX_CHECKS = 8
_MAX_REQUESTS = 1000
_NO_PROOF = "the first requests did not show whether rows depend on each other"


class RowLearner:
    """Calls `decided` once, with what the check found, or with the reason for giving up."""

    def __init__(
        self,
        checker: RowChecker,
        waiting: Batching,
        loop: asyncio.AbstractEventLoop,
        decided: Callable[[Batching], None],
    ) -> None:
        self._checker = checker
        self._waiting = waiting
        self._run_seconds = 0.0
        self._decided = decided
        self._rows: dict[BatchKey, list[Row]] = {}
        self._kept_bytes = 0
        self._checks = 0
        self._requests = 0
        self._busy = False
        self._threads: RunnerThreads[list[Row], Batching] = RunnerThreads(
            1, f"check-{checker.model.spec.name}", loop, self._check, self._finish, self._fail
        )

    def observe(self, key: BatchKey, inputs: Mapping[str, Array], run_seconds: float) -> None:
        """A request with these inputs was answered, by a run of about that time; only copies are kept."""
        if self._busy:
            return
        self._run_seconds = run_seconds
        self._requests += 1
        rows = self._keep(key, cut_rows(self._checker.model.spec, inputs))
        if rows:
            self._busy = True
            self._checks += 1
            self._threads.submit(rows)
        elif self._requests >= _MAX_REQUESTS:
            self._end(Batching(obstacle=_NO_PROOF))

    def stop(self) -> None:
        """Learn no more."""
        self._busy = True
        self._threads.stop()

    def _keep(self, key: BatchKey, rows: Sequence[Row]) -> list[Row]:
        """Copies of the different rows of this kind, where there are new ones and room for them."""
        known = self._rows.get(key, [])
        new = distinct([*known, *rows])[len(known) : ROWS] if rows else []
        size_bytes = sum(_size_bytes(array) for row in new for array in row.values())
        if not new or self._kept_bytes + size_bytes > _MAX_BYTES:
            return []
        if not known and len(self._rows) >= _MAX_KEYS:
            return []
        self._kept_bytes += size_bytes
        copies = [{name: array.copy() for name, array in row.items()} for row in new]
        self._rows[key] = [*known, *copies]
        return self._rows[key]

    def _check(self, rows: list[Row]) -> Batching:
        return self._checker.check(self._waiting, rows, self._run_seconds)

    def _fail(self, rows: list[Row]) -> None:
        self._finish(rows, Batching(obstacle="the check of the rows failed; the log has the details"))

    def _finish(self, _rows: list[Row], found: Batching) -> None:
        self._busy = False
        if not found.awaits_check:
            self._end(found)
        elif self._checks >= _MAX_CHECKS:
            self._end(Batching(obstacle=_NO_PROOF))

    def _end(self, found: Batching) -> None:
        self.stop()
        self._rows.clear()
        self._decided(found)


def _size_bytes(array: Array) -> int:
    """An array's memory, with that of its texts."""
    return array.nbytes + (sum(sys.getsizeof(text) for text in array.flat) if array.dtype.hasobject else 0)
