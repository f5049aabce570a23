"""The counters of all workers as one: asked for when somebody scrapes, never lost when a worker dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelservice_runtime.models.snapshots import Snapshots, merge_snapshots, parse_snapshots
from modelservice_runtime.workers.link import Link
from modelservice_runtime.workers.messages import MODELS, REPORT

# A worker whose event loop is busy for longer is shown as it was at the last scrape.
_PATIENCE_SECONDS = 1.0


@dataclass(slots=True)
class _Question:
    """One scrape on its way."""

    done: Callable[[Snapshots], None]
    missing: set[Link]
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class WorkerReports:
    """See `SnapshotSource`. What a dead worker counted up to the last scrape stays in the sums."""

    loop: asyncio.AbstractEventLoop
    _latest: dict[Link, Snapshots] = field(default_factory=dict)
    _departed: Snapshots = field(default_factory=list)
    _questions: dict[int, _Question] = field(default_factory=dict)
    _last_number: int = 0

    def add(self, worker: Link) -> None:
        """Ask this worker too, from now on."""
        self._latest[worker] = []

    def remove(self, worker: Link) -> None:
        """The worker has gone."""
        latest = self._latest.pop(worker, [])
        for snapshot in latest:
            snapshot.pending = 0
            snapshot.batching = None
            snapshot.contents = ()
        self._departed = merge_snapshots([self._departed, latest])
        for number in list(self._questions):
            self._answered(number, worker)

    def receive(self, worker: Link, message: dict[str, Any]) -> None:
        """An answer to REPORT."""
        if worker in self._latest:
            self._latest[worker] = parse_snapshots(message[MODELS])
            self._answered(message[REPORT], worker)

    def gather(self, done: Callable[[Snapshots], None]) -> None:
        """See `SnapshotSource.gather`."""
        self._last_number = number = self._last_number + 1
        question = self._questions[number] = _Question(done, set(self._latest))
        question.timer = self.loop.call_later(_PATIENCE_SECONDS, self._finish, number)
        for worker in self._latest:
            worker.send({REPORT: number})
        if not question.missing:
            self._finish(number)

    def _answered(self, number: int, worker: Link) -> None:
        question = self._questions.get(number)
        if question is not None:
            question.missing.discard(worker)
            if not question.missing:
                self._finish(number)

    def _finish(self, number: int) -> None:
        question = self._questions.pop(number)
        if question.timer is not None:
            question.timer.cancel()
        question.done(merge_snapshots([self._departed, *self._latest.values()]))
