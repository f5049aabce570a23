"""A lane runs one model's requests: at once on the event loop, or on its own threads; singly or in batches.

Each model has its own lane, so a slow model never holds up a fast one. A model whose runs take less than
about 200 us runs inline, because a hop to a thread and back costs 60-80 us; a slower one runs on threads,
where `run` drops the GIL. Run times are measured at load and while serving, and the choice follows them.
Event loop's thread only, so nothing needs a lock.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from modelservice_runtime.errors import DeadlineExceededError, OverloadedError
from modelservice_runtime.execution.batches.batch_queue import BatchKey, BatchQueue
from modelservice_runtime.execution.batches.batching import batch_key, batch_rows
from modelservice_runtime.execution.finite import are_finite
from modelservice_runtime.execution.job import Done, Job
from modelservice_runtime.execution.job_runs import JobRuns
from modelservice_runtime.execution.run_time import RunTime
from modelservice_runtime.execution.sharing import Sharing
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import Batching, Model, PreparedRun, WarmUp
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.tensors import Array, InferRequest

log = logging.getLogger(__name__)

# How long queued batches may keep the event loop busy before everybody else has a turn.
_TURN_SECONDS = 0.001
_MAX_RETRY_SECONDS = 60
# Where nothing is batched all requests wait in one row.
_ONE_BY_ONE: BatchKey = ()


# Outputs in the requested order, and when the run started and ended (performance counter).
InlineRun: TypeAlias = tuple[list[Array], int, int]


class Lane:
    """See the module's text."""

    def __init__(
        self,
        model: Model,
        settings: LaneSettings,
        statistics: ModelStatistics,
        loop: asyncio.AbstractEventLoop,
        warm_up: WarmUp,
    ) -> None:
        self._model = model
        self._settings = settings
        self._statistics = statistics
        self._loop = loop
        self._max_request_seconds = settings.max_request_seconds if warm_up.time_varies else None
        self._run_time = RunTime(warm_up, settings.inline_below_seconds, loop.time)
        self._queue: BatchQueue[Job] = BatchQueue()
        # Who may run for longer on the event loop may do so twice: reading and writing for two at once costs
        # less, with a model that drives all else from the CPU's caches.
        self._turn_seconds = max(_TURN_SECONDS, settings.queued_inline_below_seconds)
        self._wakeup: asyncio.Handle | None = None
        self._delay_timer: asyncio.TimerHandle | None = None
        self._sharing = Sharing(model, settings.max_batch_size, warm_up, loop)
        self._runs = JobRuns(model, settings, self._run_time, self._sharing, statistics, loop)
        self._jobs = self._runs.jobs
        self._runs.ended = self._wake_up
        self._running = self._runs.under_way
        self._sharing.changed = self._set_sharing
        self._set_sharing()

    @property
    def pending(self) -> int:
        """Requests that wait or run."""
        return self._jobs.count

    @property
    def waiting(self) -> int:
        """Those of them that wait for a run."""
        running = sum([not job.finished for batch in self._running for job in batch.jobs])
        return self._jobs.count - running

    @property
    def runs_inline(self) -> bool:
        """True while the model is fast enough to run on the event loop."""
        return self._run_time.usually_short

    @property
    def batching(self) -> Batching:
        """Whether requests share runs now, and why not."""
        return self._sharing.batching

    @property
    def max_batch_size(self) -> int:
        """Rows that may share a run; 1 when batching is off."""
        return self._max_rows

    def run_inline(self, request: InferRequest) -> InlineRun | None:
        """Run `request` here and now, where that is expected to be short and nobody waits; else None.

        Raises ServingErrors of the model. The caller counts the run, by `ModelStatistics.record_inline`.
        """
        if self._keyed or self._jobs.count or self._running:
            return None
        elements = request.text_bytes
        for array in request.inputs.values():
            elements += array.size
        if not self._run_time.is_short(elements):
            return None
        started_ns = time.perf_counter_ns()
        outputs = self._model.run(request.inputs, request.output_names)
        ended_ns = time.perf_counter_ns()
        self._run_time.observe(ended_ns - started_ns, elements)
        if not are_finite(self._model.spec, request.output_names, outputs):
            self._statistics.nonfinite_count += 1
        return outputs, started_ns, ended_ns

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> PreparedRun | None:
        """See `Model.prepare`; None also for a model that does not run on the event loop."""
        if self._keyed or not self.runs_inline:
            return None
        return self._model.prepare(inputs, outputs)

    def run_prepared(self, prepared: PreparedRun, elements: int) -> tuple[int, int] | None:
        """`run_inline` for inputs that are in place, `elements` in all; None also where `Model.run` has to.

        Returns when the run started and ended (performance counter). Raises ServingErrors of the model.
        """
        if self._keyed or self._jobs.count or self._running or not self._run_time.is_short(elements):
            return None
        started_ns = time.perf_counter_ns()
        if not prepared.run():
            return None
        ended_ns = time.perf_counter_ns()
        self._run_time.observe(ended_ns - started_ns, elements)
        return started_ns, ended_ns

    def submit(self, request: InferRequest, done: Done) -> Job:
        """Run `request` in its turn; `done` is called once, later.

        Raises OverloadedError when the queue is too long, in requests or in time.
        """
        if self._jobs.count >= self._settings.max_queue_size or len(self._running) >= self._slots:
            self._check_queue()
        job = self._make_job(request, done)
        limits = (request.timeout_seconds, self._max_request_seconds)
        self._jobs.add(job, min((one for one in limits if one is not None), default=None), self._expire)
        self._queue.add(job)
        self._wake_up()
        return job

    def start_threads(self, enter: Callable[[], None]) -> None:
        """Start the threads now, each with `enter`: later there may be no memory for them."""
        self._runs.start_threads(enter)

    def expected_wait_seconds(self) -> float:
        """How long a request that comes now will wait for its run, by what is known; 0 with a free runner."""
        if len(self._running) < self._slots:
            return 0.0
        return self._runs.pace.wait_seconds(len(self._running), self._queue.rows / self._max_rows)

    def cancel(self, job: Job) -> None:
        """The client went away: the job's `done` will not be called any more."""
        self._abandon(job)

    def stop_runs(self) -> None:
        """Ask every running batch to end early."""
        for batch in self._running:
            batch.handle.stop()

    def close_when_idle(self, closed: Callable[[], None]) -> None:
        """Release the threads after the last request, then call `closed`."""

        def close() -> None:
            self._sharing.stop()
            self._runs.stop_threads()
            closed()

        self._jobs.call_when_idle(close)

    def _check_queue(self) -> None:
        settings = self._settings
        if self._jobs.count < settings.max_queue_size and not self._queue:
            return
        wait_seconds = self.expected_wait_seconds()
        if self._jobs.count < settings.max_queue_size and wait_seconds <= settings.max_queue_seconds:
            return
        retry_after_seconds = min(max(math.ceil(wait_seconds), 1), _MAX_RETRY_SECONDS)
        raise OverloadedError(
            f"model '{self._model.spec.name}' has {self._jobs.count} requests waiting, "
            f"for about {wait_seconds:.1f} s; try again later",
            retry_after_seconds,
        )

    def _set_sharing(self) -> None:
        rows = self._max_rows = self._sharing.batching.max_batch_size
        self._keyed = self._sharing.is_open
        # Without batching one more run than threads is handed over, so that a thread that ends a run finds
        # the next one at once. With batching that would only take requests away from a fuller batch.
        self._slots = self._settings.runner_threads + (1 if rows == 1 else 0)

    def _make_job(self, request: InferRequest, done: Done) -> Job:
        spec = self._model.spec
        elements = request.text_bytes + sum([array.size for array in request.inputs.values()])
        if not self._keyed:
            return Job(request, done, elements, _ONE_BY_ONE, 1)
        rows = batch_rows(spec, request.inputs)
        return Job(request, done, elements, batch_key(spec, request) if rows else None, max(rows, 1))

    def _wake_up(self) -> None:
        """Dispatch soon: what arrives in the same turn of the loop can share a batch."""
        if self._wakeup is None and self._queue.rows and len(self._running) < self._slots:
            if self._delay_timer is not None:
                self._delay_timer.cancel()
                self._delay_timer = None
            self._wakeup = self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._wakeup = self._delay_timer = None
        yield_at = self._loop.time() + self._turn_seconds
        while self._queue.rows and len(self._running) < self._slots:
            if self._max_rows == 1:
                jobs = [self._queue.take_one()]
            else:
                bucket, wait_seconds = self._queue.choose(self._max_rows, self._wait_seconds)
                if wait_seconds > 0:
                    self._delay_timer = self._loop.call_later(wait_seconds, self._dispatch)
                    return
                jobs = self._queue.take(self._max_rows, bucket)
            ran_here = self._runs.start(jobs)
            if ran_here and self._loop.time() + self._run_time.run_ns / 1e9 > yield_at:
                break  # other clients have their turn on the event loop
        self._wake_up()

    def _wait_seconds(self, oldest: Job, rows: int) -> float:
        """How long a batch may still wait to fill; its deadline counts from its oldest request."""
        delay_seconds = self._settings.max_delay_seconds
        if delay_seconds == 0 or oldest.key is None or rows >= self._max_rows:
            return 0.0
        return delay_seconds - (time.perf_counter_ns() - oldest.arrived_ns) / 1e9

    def _expire(self, job: Job) -> None:
        if self._abandon(job):
            sentence = "the request's timeout passed before the answer was ready"
            self._jobs.tell(job, DeadlineExceededError(sentence))

    def _abandon(self, job: Job) -> bool:
        """Take a job out of the lane; a run that nobody waits for any more is stopped."""
        if job.finished:
            return False
        if job.batch is None:
            self._queue.remove(job)
            self._statistics.record_wait(time.perf_counter_ns() - job.arrived_ns)
        self._jobs.leave(job)
        if job.batch is not None and all(other.finished for other in job.batch.jobs):
            job.batch.handle.stop()
        self._jobs.notice_idle()
        return True
