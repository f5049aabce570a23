"""What a few runs on made-up inputs tell of a model: that it runs, how fast, whether rows can be batched."""

import statistics
import threading
import time
from collections.abc import Mapping

import numpy as np

from modelservice_runtime.errors import ServingError
from modelservice_runtime.model import WarmableModel, WarmUp
from modelservice_runtime.tensors import BF16, BYTES, Array, TensorSpec, count_elements

# A gigabyte of FP32; a model with larger fixed inputs is warmed up by its first request.
_MAX_SYNTHETIC_ELEMENTS = 1 << 28
_LIMIT_SECONDS = 60.0


def warm_up(model: WarmableModel) -> WarmUp:
    """Run small synthetic inputs: fill caches, time a run, and see whether rows can be batched.

    A model may dislike synthetic inputs; that is noted, not fatal.
    """
    elements = sum(count_elements(_synthetic_shape(spec, rows=1)) for spec in model.spec.inputs)
    if elements > _MAX_SYNTHETIC_ELEMENTS:
        return WarmUp(None, elements, False, model.time_varies, "the inputs are too large to make up")
    try:
        inputs = {spec.name: synthetic_input(spec, rows=1) for spec in model.spec.inputs}
        _first_run(model, inputs)
        run_seconds = _median_run_seconds(model, inputs)
    except ServingError as error:
        note = f"the model did not run on synthetic inputs: {error}"
        return WarmUp(None, elements, False, model.time_varies, note)
    try:
        return WarmUp(run_seconds, elements, _is_batchable(model), model.time_varies)
    except ServingError as error:
        note = f"the model did not run on a batch of two: {error}"
        return WarmUp(run_seconds, elements, False, model.time_varies, note)


def synthetic_input(spec: TensorSpec, rows: int) -> Array:
    """Ones (or short texts) of the input's datatype; ``rows`` in a variable first dimension, 1 in others."""
    shape = _synthetic_shape(spec, rows)
    if spec.datatype is BYTES:
        return np.full(shape, "warm up", dtype=object)
    if spec.datatype is BF16:
        return np.full(shape, 0x3F80, dtype=np.uint16)
    return np.ones(shape, dtype=spec.datatype.numpy)


def _first_run(model: WarmableModel, inputs: Mapping[str, Array]) -> None:
    """Run once, but not for ever: a loop may never end on made-up values."""
    handle = model.new_run()
    timer = threading.Timer(_LIMIT_SECONDS, handle.stop)
    timer.start()
    try:
        model.run(inputs, model.spec.output_names, handle)
    finally:
        timer.cancel()


def _synthetic_shape(spec: TensorSpec, rows: int) -> list[int]:
    shape = [1 if dimension == -1 else dimension for dimension in spec.shape or ()]
    if spec.shape and spec.shape[0] == -1:
        shape[0] = rows
    return shape


def _median_run_seconds(model: WarmableModel, inputs: Mapping[str, Array]) -> float:
    """Median over at most 20 runs or a tenth of a second."""
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 20 and (not times or time.perf_counter() - started < 0.1):
        before = time.perf_counter()
        model.run(inputs, model.spec.output_names)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _is_batchable(model: WarmableModel) -> bool:
    """All first dimensions vary, and two rows in give two rows out."""
    tensors = (*model.spec.inputs, *model.spec.outputs)
    if not model.spec.inputs or any(spec.shape is not None and spec.shape[:1] != (-1,) for spec in tensors):
        return False
    if any(spec.shape is None for spec in model.spec.inputs):
        return False
    inputs = {spec.name: synthetic_input(spec, rows=2) for spec in model.spec.inputs}
    outputs = model.run(inputs, model.spec.output_names)
    return all(output.ndim > 0 and output.shape[0] == 2 for output in outputs)
