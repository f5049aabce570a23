"""Requests on their way through a lane, and what comes of them: each is told once, and in time.

Event loop's thread only.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from modelservice_runtime.errors import ServingError, internal_error
from modelservice_runtime.execution.batches.batch_queue import BatchKey
from modelservice_runtime.execution.statistics import Timing
from modelservice_runtime.model import Run
from modelservice_runtime.tensors import Array, InferRequest

log = logging.getLogger(__name__)

# What no priority, or 0, stands for: between the urgent (1 is first) and what can wait.
_DEFAULT_PRIORITY = 5


@dataclass(slots=True)
class InferResult:
    """The outputs in the requested order, and where the time went."""

    outputs: list[Array]
    timing: Timing


Done: TypeAlias = Callable[[InferResult | ServingError], None]


class Job:
    """One request on its way through a lane."""

    __slots__ = (
        "arrived_ns",
        "batch",
        "done",
        "elements",
        "finished",
        "key",
        "priority",
        "request",
        "rows",
        "timer",
    )

    def __init__(
        self, request: InferRequest, done: Done, elements: int, key: BatchKey | None, rows: int
    ) -> None:
        self.request = request
        self.elements = elements
        self.done = done
        self.key = key
        self.rows = rows
        self.priority = request.priority or _DEFAULT_PRIORITY
        self.arrived_ns = time.perf_counter_ns()
        self.finished = False
        self.timer: asyncio.TimerHandle | None = None
        self.batch: RunningBatch | None = None


@dataclass(slots=True, eq=False)
class RunningBatch:
    """Requests that share a run, and the handle to stop it by."""

    jobs: list[Job]
    handle: Run


def make_result(
    outcome: Sequence[Array] | ServingError, timing: Timing, queue_ns: int
) -> InferResult | ServingError:
    """What a job of a batch is told; `timing` is the batch's."""
    if isinstance(outcome, ServingError):
        return outcome
    return InferResult(
        list(outcome),
        Timing(queue_ns, timing.compute_input_ns, timing.compute_infer_ns, timing.compute_output_ns),
    )


class OpenJobs:
    """`count` of them wait or run."""

    def __init__(self, model_name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.count = 0
        self._model_name = model_name
        self._loop = loop
        self._on_idle: Callable[[], None] | None = None

    def add(self, job: Job, timeout_seconds: float | None, expire: Callable[[Job], None]) -> None:
        """Count a job, and call `expire` when its time has passed."""
        if timeout_seconds is not None:
            job.timer = self._loop.call_later(timeout_seconds, expire, job)
        self.count += 1

    def answer(self, job: Job, outcome: InferResult | ServingError) -> None:
        """The last that its caller hears of a job."""
        self.leave(job)
        self.tell(job, outcome)

    def fail(self, jobs: Iterable[Job]) -> None:
        """A fault of ours, which is in the log: tell those who still wait."""
        for job in jobs:
            if not job.finished:
                self.answer(job, internal_error())

    def leave(self, job: Job) -> None:
        """Count a job no more."""
        job.finished = True
        self.count -= 1
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None

    def tell(self, job: Job, outcome: InferResult | ServingError) -> None:
        """The last boundary stands around each job: those behind it get their answers all the same."""
        try:
            job.done(outcome)
        except Exception:
            log.exception("internal error while an answer was given", extra={"model": self._model_name})

    def call_when_idle(self, on_idle: Callable[[], None]) -> None:
        """Call once there is no job, perhaps at once; `notice_idle` looks."""
        self._on_idle = on_idle
        self.notice_idle()

    def notice_idle(self) -> None:
        """To be called when what concerns a job that left is done."""
        if self.count == 0 and self._on_idle is not None:
            on_idle, self._on_idle = self._on_idle, None
            on_idle()
