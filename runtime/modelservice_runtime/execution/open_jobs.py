"""Requests to a model that are not answered yet: each is told once, in time or that it is too late.

Event loop's thread only.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from modelservice_runtime.errors import ServingError, internal_error
from modelservice_runtime.execution.job import InferResult, Job

log = logging.getLogger(__name__)


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
