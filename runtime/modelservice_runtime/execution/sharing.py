"""Whether a lane's requests share runs: at first what is known from the load, later what requests show.

Event loop's thread only, but for `shapes`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from modelservice_runtime.execution.batches.batching import SHAPES_VARY
from modelservice_runtime.execution.batches.output_shapes import OutputShapes
from modelservice_runtime.execution.job import Job
from modelservice_runtime.execution.rows.checker import RowChecker
from modelservice_runtime.execution.rows.learner import RowLearner
from modelservice_runtime.model import Batching, Model, ModelSpec, WarmUp
from modelservice_runtime.tensors import Array

log = logging.getLogger(__name__)


class Sharing:
    """`changed` is called when `batching` is another.

    `is_open`: requests share runs, or may come to, so that each is told apart by what could share its run.
    Where it is not open it stays so. `learns`: single runs have something to teach.
    """

    def __init__(
        self, model: Model, max_batch_size: int, warm_up: WarmUp, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.batching = warm_up.batching
        self.shapes = OutputShapes(model.spec)
        self.changed: Callable[[], None] = lambda: None
        self._spec = model.spec
        self._learner: RowLearner | None = None
        if self.batching.awaits_check:
            scaled, coarse = not warm_up.time_varies, warm_up.is_coarse
            checker = RowChecker(model, max_batch_size, scaled=scaled, coarse=coarse)
            self._learner = RowLearner(checker, self.batching, loop, self.decide)

    @property
    def is_open(self) -> bool:
        """See the class."""
        return self.batching.max_batch_size > 1 or self._learner is not None

    @property
    def learns(self) -> bool:
        """See the class."""
        return self._learner is not None or (self.is_open and not self.shapes.are_declared)

    def learn(self, job: Job, outputs: Sequence[Array], run_seconds: float) -> None:
        """Learn from a request that ran alone and has its answer; runs usually take so long."""
        if job.key is None:
            return
        if not self.shapes.learn(job.key, outputs):
            self.decide(Batching(obstacle=SHAPES_VARY))
        elif self._learner is not None:
            self._learner.observe(job.key, job.request.inputs, run_seconds)

    def decide(self, batching: Batching) -> None:
        """Requests showed whether rows depend on each other."""
        if not self.is_open:
            return
        self.stop()
        self._learner = None
        self.batching = batching
        log_batching(self._spec, batching)
        self.changed()

    def stop(self) -> None:
        """Learn no more."""
        if self._learner is not None:
            self._learner.stop()


def log_batching(spec: ModelSpec, batching: Batching) -> None:
    """Say whether requests share runs from now on; nothing where nobody wants that."""
    fields = {"model": spec.name, "version": spec.version}
    if batching.max_batch_size > 1:
        on = {"max_batch_size": batching.max_batch_size, "source": batching.source}
        log.info("batching is on", extra={**fields, **on})
    elif batching.obstacle is not None:
        message = "batching is off for now" if batching.awaits_check else "batching is off"
        log.warning(message, extra={**fields, "cause": batching.obstacle})
