"""A model made of plain Python that waits until the test lets it go on."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from modelservice_runtime.errors import DeadlineExceededError, ServingError
from modelservice_runtime.execution.job import InferResult
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.statistics import ModelStatistics
from modelservice_runtime.model import Batching, ModelSpec, Run, WarmUp
from modelservice_runtime.settings.lanes import LaneSettings
from modelservice_runtime.tensors import FP32, Array, InferRequest, TensorSpec

SPEC = ModelSpec("m", "1", (TensorSpec("x", FP32, (-1,)),), (TensorSpec("y", FP32, (-1,)),))
FAST = WarmUp(1e-6, 1, time_varies=False)
SLOW = WarmUp(1.0, 1, time_varies=False)


class StopFlag:
    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()


@dataclass
class GatedModel:
    """Doubles its input; on a thread it waits until the gate opens or its run is stopped."""

    spec: ModelSpec = SPEC
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[list[float]] = field(default_factory=list)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        return None

    def new_run(self) -> StopFlag:
        return StopFlag()

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        self.calls.append(inputs["x"].tolist())
        self.entered.release()
        if threading.current_thread() is not threading.main_thread():
            while not self.gate.wait(0.01):
                if isinstance(handle, StopFlag) and handle.stopped.is_set():
                    raise DeadlineExceededError("stopped")
        return [inputs["x"] * 2]


def make_lane(model: GatedModel, warm_up: WarmUp, **settings: float) -> Lane:
    """With a `max_batch_size` requests share runs, unless `warm_up` has an opinion of its own."""
    loop = asyncio.get_running_loop()
    if warm_up.batching == Batching() and "max_batch_size" in settings:
        warm_up = replace(warm_up, batching=Batching(int(settings["max_batch_size"]), source="graph"))
    return Lane(model, LaneSettings(**settings), ModelStatistics(), loop, warm_up)  # type: ignore[arg-type]


def make_request(*values: float, timeout_seconds: float | None = None) -> InferRequest:
    return InferRequest({"x": np.array(values, np.float32)}, ("y",), timeout_seconds=timeout_seconds)


class Results:
    """What became of submitted requests, in order."""

    def __init__(self) -> None:
        self.items: list[InferResult | ServingError] = []
        self._changed = asyncio.Event()

    def append(self, result: InferResult | ServingError) -> None:
        self.items.append(result)
        self._changed.set()

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(120):
            while len(self.items) < count:
                self._changed.clear()
                await self._changed.wait()


def values(result: InferResult | ServingError) -> list[float]:
    assert isinstance(result, InferResult), result
    return [float(value) for value in result.outputs[0]]


async def entered(model: GatedModel) -> None:
    assert await asyncio.to_thread(model.entered.acquire, timeout=120)
