"""Whether requests to a model may share its runs: what says so, and the check that it is true.

A row of the outputs must depend on the same row of the inputs only. The graph proves that, or the owner says
it; then made-up or sampled rows are run alone and in batches. Where no such rows can be had, or a run takes
too long to try before the model is ready, the first requests serve for it: until then each runs alone.
"""

import logging
import mmap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.execution.rows.check import Row
from modelservice_runtime.execution.rows.checker import RowChecker, takes_long
from modelservice_runtime.execution.rows.row_set import ROWS, cut_rows, distinct
from modelservice_runtime.model import Batching, Model, ModelSpec, WarmableModel
from modelservice_runtime.models.samples import NO_SAMPLES, Samples
from modelservice_runtime.models.warm_up import Warmed
from modelservice_runtime.onnx.made_up import make_inputs, varied_recipes

log = logging.getLogger(__name__)

# Time for rows that prove nothing.
_TRY_SECONDS = 2.0
_WAITS = "the first requests are to show that rows do not depend on each other"


@dataclass(frozen=True, slots=True)
class BatchingWish:
    """`max_batch_size` rows may share a run; with `rows_are_independent` the owner says that they can."""

    max_batch_size: int = 1
    rows_are_independent: bool = False


NO_WISH = BatchingWish()


def decide_batching(
    model: WarmableModel,
    wish: BatchingWish,
    prove: Callable[[], str | None],
    warmed: Warmed,
    samples: Samples = NO_SAMPLES,
) -> Batching:
    """What holds for a model that was run once. `prove` says what in its graph speaks against it."""
    if wish.max_batch_size == 1:
        return Batching()
    obstacle = find_shape_obstacle(model.spec)
    if obstacle is not None:
        return Batching(obstacle=obstacle)
    obstacle = prove()
    if obstacle is not None and not wish.rows_are_independent:
        return Batching(obstacle=obstacle)
    waiting = Batching(obstacle=_WAITS, source="graph" if obstacle is None else "owner")
    if warmed.run_seconds is None or takes_long(warmed.run_seconds):
        return waiting
    scaled, coarse = not model.time_varies, model.is_coarse
    checker = RowChecker(model, wish.max_batch_size, scaled=scaled, coarse=coarse)
    try_until = time.perf_counter() + _TRY_SECONDS
    for rows in _rows_to_try(model, warmed, samples):
        decided = checker.check(waiting, rows, warmed.run_seconds)
        if not decided.awaits_check:
            return decided
        if time.perf_counter() > try_until:
            break
    return waiting


def find_shape_obstacle(spec: ModelSpec) -> str | None:
    """What in a model's signature keeps its requests from sharing a run."""
    if not spec.inputs:
        return "the model has no inputs"
    for kind, tensors in (("input", spec.inputs), ("output", spec.outputs)):
        for tensor in tensors:
            if tensor.shape is None and kind == "input":
                return f"input '{tensor.name}' does not say how many dimensions it has"
            if tensor.shape is not None and tensor.shape[:1] != (-1,):
                return f"{kind} '{tensor.name}' has no variable first dimension: {list(tensor.shape)}"
    return None


def prove_file(path: Path) -> str | None:
    """What in the graph of a model's file lets its rows depend on each other; None where nothing does."""
    # Imported here: only batches need the proof, and its rules take long to import.
    from modelservice_runtime.onnx.rows import prove_rows

    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as content,
        ):
            return prove_rows(content).obstacle
    except Exception:  # a model that is served anyway must not fail for the lack of a proof
        log.exception("the graph could not be analysed", extra={"file": path.name})
        return "the graph could not be analysed; the log has the details"


def _rows_to_try(model: Model, warmed: Warmed, samples: Samples) -> Iterator[list[Row]]:
    specs = model.spec.inputs
    sampled = [row for sample in samples.inputs for row in cut_rows(model.spec, sample)]
    if sampled:
        yield distinct(sampled)[:ROWS]
    if warmed.recipe is not None:
        for recipe in varied_recipes(warmed.recipe):
            yield distinct(cut_rows(model.spec, make_inputs(specs, recipe, ROWS, seed=1)))
