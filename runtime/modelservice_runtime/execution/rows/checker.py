"""The check of a model's rows within bounds: of time, and of what a batch may hold."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modelservice_runtime.errors import ServingError
from modelservice_runtime.execution.rows.check import CheckResult, Row, check_rows
from modelservice_runtime.execution.rows.row_set import ROWS, complete, make_strangers
from modelservice_runtime.model import Batching, Model

# What the runs of a check may take together, before a model is ready.
_SECONDS = 2.0
# A loop may never end on values that nobody sent; where runs are slow they get a multiple of their time.
_LIMIT_SECONDS = 20.0
_LIMIT_RUNS = 100
# The inputs of the largest batch of a check: what becomes of them within the model takes many times as much.
_MAX_BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RowChecker:
    """Checks `model` for runs of up to `max_batch_size` rows.

    `scaled`: values may be made larger and smaller, for none says how much memory or time a run takes.
    `coarse`: it runs on an accelerator, which rounds more coarsely.
    """

    model: Model
    max_batch_size: int
    scaled: bool
    coarse: bool = False

    def check(self, waiting: Batching, rows: Sequence[Row], run_seconds: float) -> Batching:
        """What holds after a check with these rows, which run in about that time.

        `waiting` itself where they prove nothing: they do not run, the model magnifies what is rounded, or
        they cannot be told apart afterwards where nothing but the owner's word speaks for it.
        """
        rows = complete(self.model.spec, rows) if rows else []
        if len(rows) < 2:
            return waiting
        try:
            sizes = self._choose_sizes(waiting, rows[0], run_seconds)
            result = self._check_in_time(rows, sizes, run_seconds)
        except (ServingError, MemoryError):
            return waiting
        if result.obstacle is not None:
            word = "the owner's word on rows does not hold: " if waiting.source == "owner" else ""
            return Batching(obstacle=word + result.obstacle)
        if result.magnified or (waiting.source == "owner" and not result.convincing):
            return waiting
        return Batching(self.max_batch_size, source=waiting.source)

    def _check_in_time(self, rows: Sequence[Row], sizes: Sequence[int], run_seconds: float) -> CheckResult:
        strangers = make_strangers(self.model.spec, rows, scaled=self.scaled)
        handle = self.model.new_run()
        timer = threading.Timer(_LIMIT_SECONDS + _LIMIT_RUNS * run_seconds, handle.stop)
        timer.daemon = True
        timer.start()
        try:
            return check_rows(self.model, rows, strangers, sizes, handle, coarse=self.coarse)
        finally:
            timer.cancel()

    def _choose_sizes(self, waiting: Batching, row: Row, run_seconds: float) -> list[int]:
        """Two, three, and the maximum or what time and memory allow; for a slow proven model, two."""
        if waiting.source == "graph" and takes_long(run_seconds):
            return [2]
        row_bytes = sum(array.nbytes for array in row.values())
        by_time = (_SECONDS / max(run_seconds, 1e-6) - _count_runs([2, 3])) / 3
        largest = int(min(self.max_batch_size, by_time, _MAX_BATCH_BYTES / max(row_bytes, 1)))
        return [size for size in (2, 3) if size <= self.max_batch_size] + [largest] * (largest > 3)


def takes_long(run_seconds: float) -> bool:
    """Whether a model's check takes too long before it is ready, by the time of a run of one row."""
    return run_seconds * _count_runs([2, 3]) > _SECONDS


def _count_runs(sizes: Sequence[int]) -> int:
    """The rows that a check runs."""
    return ROWS + 3 * sum(sizes)
