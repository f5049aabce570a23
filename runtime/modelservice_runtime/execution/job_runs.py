"""Runs of a lane's requests: here or on threads, singly or together, and what is told and learned of them.

Everything here but `run_batch` happens on the event loop's thread, so nothing needs a lock.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from modelservice_runtime.errors import ServingError, internal_error
from modelservice_runtime.execution.batches.batching import BatchResult, run_batch
from modelservice_runtime.execution.finite import are_finite
from modelservice_runtime.execution.job import InferResult, Job, OpenJobs, RunningBatch, make_result
from modelservice_runtime.execution.run_time import RunPace, RunTime
from modelservice_runtime.execution.runner_threads import RunnerThreads
from modelservice_runtime.execution.sharing import Sharing
from modelservice_runtime.execution.statistics import ModelStatistics, Timing
from modelservice_runtime.model import Batching, Model
from modelservice_runtime.settings.lanes import LaneSettings

log = logging.getLogger(__name__)


class JobRuns:
    """`jobs` are those that wait and run, `under_way` the runs on threads; `ended` is called behind each."""

    def __init__(
        self,
        model: Model,
        settings: LaneSettings,
        run_time: RunTime,
        sharing: Sharing,
        statistics: ModelStatistics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.jobs = OpenJobs(model.spec.name, loop)
        self.under_way: set[RunningBatch] = set()
        self.pace = RunPace(settings.runner_threads)
        self.ended: Callable[[], None] = lambda: None
        self._model = model
        self._settings = settings
        self._run_time = run_time
        self._sharing = sharing
        self._statistics = statistics
        self._threads: RunnerThreads[RunningBatch, BatchResult] = RunnerThreads(
            settings.runner_threads, model.spec.name, loop, self._run, self._finish, self._fail
        )

    def start_threads(self, enter: Callable[[], None]) -> None:
        """Start the threads now, each with `enter`: later there may be no memory for them."""
        self._threads.start(enter)

    def stop_threads(self) -> None:
        """End them."""
        self._threads.stop()

    def start(self, jobs: list[Job]) -> bool:
        """Run a batch, here or on a thread; True when it ran here, or could not run, and is finished."""
        try:
            return self._start_run(jobs)
        except Exception:  # the last boundary: a thread that cannot start, for one
            log.exception("internal error before a run", extra={"model": self._model.spec.name})
            self.under_way -= {batch for batch in self.under_way if batch.jobs is jobs}
            self.jobs.fail(jobs)
            self.jobs.notice_idle()
            return True

    def _start_run(self, jobs: list[Job]) -> bool:
        elements = jobs[0].elements if len(jobs) == 1 else sum([job.elements for job in jobs])
        limit_seconds = self._settings.queued_inline_below_seconds
        runs_here = self._run_time.is_below(elements, limit_seconds) or self._run_time.is_short(elements)
        started_ns = self.pace.last_start_ns = time.perf_counter_ns()
        if runs_here and len(jobs) == 1:
            self._run_here(jobs[0], started_ns)
            return True
        batch = RunningBatch(jobs, self._model.new_run())
        self.under_way.add(batch)
        for job in jobs:
            job.batch = batch
        if runs_here:
            self._run_batch_here(batch)
        else:
            self._threads.submit(batch)
        return runs_here

    def _run_batch_here(self, batch: RunningBatch) -> None:
        try:
            result = self._run(batch)
        except Exception:  # the last boundary, as on a thread
            log.exception("internal error while a batch ran", extra={"model": self._model.spec.name})
            self._fail(batch)
        else:
            self._finish(batch, result)

    def _run_here(self, job: Job, started_ns: int) -> None:
        """Run one request on the event loop. `run_batch` without all that only threads and batches need."""
        self._statistics.record_wait(started_ns - job.arrived_ns)
        outcome: InferResult | ServingError
        try:
            outputs = self._model.run(job.request.inputs, job.request.output_names)
        except ServingError as error:
            outcome = error.with_traceback(None)  # whose frames hold the inputs
        except Exception:  # the last boundary, as on a thread
            log.exception("internal error while a model ran", extra={"model": self._model.spec.name})
            outcome = internal_error()
        else:
            ended_ns = time.perf_counter_ns()
            infer_ns = ended_ns - started_ns
            timing = Timing(started_ns - job.arrived_ns, compute_infer_ns=infer_ns)
            self._run_time.observe(infer_ns, job.elements)
            self.pace.observe(infer_ns / 1e9)
            self._statistics.record_execution(job.rows, ended_ns, timing)
            if not are_finite(self._model.spec, job.request.output_names, outputs):
                self._statistics.nonfinite_count += 1
            outcome = InferResult(outputs, timing)
        self.jobs.answer(job, outcome)
        if self._sharing.learns and isinstance(outcome, InferResult):
            self._sharing.learn(job, outcome.outputs, self._run_time.run_ns / 1e9)
        self.jobs.notice_idle()

    def _run(self, batch: RunningBatch) -> BatchResult:
        """Called on a runner thread; touches nothing but the batch, and what is known of shapes."""
        jobs = batch.jobs
        if all(job.finished for job in jobs):
            return BatchResult()  # everybody left while the batch waited for the thread
        requests, rows = [job.request for job in jobs], [job.rows for job in jobs]
        shapes = self._sharing.shapes if self._sharing.is_open and jobs[0].key is not None else None
        return run_batch(self._model, requests, rows, batch.handle, shapes, jobs[0].key or ())

    def _fail(self, batch: RunningBatch) -> None:
        """A fault of ours; it is in the log."""
        error = internal_error()
        self._finish(batch, BatchResult([error for _ in batch.jobs], started_ns=time.perf_counter_ns()))

    def _finish(self, batch: RunningBatch, result: BatchResult) -> None:
        self.under_way.discard(batch)
        try:
            self._give_answers(batch, result)
        except Exception:  # the last boundary: what is learned of a run must not cost anybody his answer
            log.exception("internal error behind a run", extra={"model": self._model.spec.name})
        self.jobs.fail(batch.jobs)
        batch.jobs.clear()  # jobs know their batch, and a cycle would keep their tensors
        self.jobs.notice_idle()
        self.ended()

    def _give_answers(self, batch: RunningBatch, result: BatchResult) -> None:
        if result.mismatch:
            self._sharing.decide(Batching(obstacle=result.mismatch))
        if result.executions:
            self.pace.observe((time.perf_counter_ns() - result.started_ns) / 1e9)
        timing = self._record(batch, result)
        for place, (job, outcome) in enumerate(zip(batch.jobs, result.outcomes, strict=False)):
            if not job.finished:
                self._statistics.nonfinite_count += place in result.nonfinite
                self.jobs.answer(job, make_result(outcome, timing, result.started_ns - job.arrived_ns))
        if self._sharing.learns and len(batch.jobs) == 1 and result.outcomes:
            outcome = result.outcomes[0]
            if not isinstance(outcome, ServingError):
                self._sharing.learn(batch.jobs[0], outcome, self._run_time.run_ns / 1e9)

    def _record(self, batch: RunningBatch, result: BatchResult) -> Timing:
        infer_ns = 0
        now_ns = time.perf_counter_ns()
        for job in batch.jobs:
            self._statistics.record_wait((result.started_ns or now_ns) - job.arrived_ns)
        elements = sum([job.elements for job in batch.jobs]) // max(len(result.executions), 1)
        for rows, elapsed_ns in result.executions:
            infer_ns += elapsed_ns
            self._run_time.observe(elapsed_ns, elements)
            self._statistics.record_execution(
                rows, now_ns, Timing(0, result.compute_input_ns, elapsed_ns, result.compute_output_ns)
            )
        return Timing(0, result.compute_input_ns, infer_ns, result.compute_output_ns)
