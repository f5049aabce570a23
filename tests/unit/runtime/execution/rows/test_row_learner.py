"""Lanes that learn from their first requests whether rows depend on each other."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from tests.unit.runtime.gated_model import FAST, SLOW, GatedModel, Results, make_lane

from modelservice_runtime.execution.batches.batching import SHAPES_VARY
from modelservice_runtime.execution.lane import Lane
from modelservice_runtime.execution.rows import learner
from modelservice_runtime.execution.rows.checker import RowChecker
from modelservice_runtime.model import Batching, ModelSpec, Run, WarmUp
from modelservice_runtime.tensors import BYTES, FP32, Array, InferRequest, TensorSpec

SPEC = ModelSpec("m", "1", (TensorSpec("x", FP32, (-1, -1)),), (TensorSpec("y", FP32, (-1, -1)),))


@dataclass
class RowModel(GatedModel):
    """Doubles its input; with `mixes` it tells every row of the largest one."""

    spec: ModelSpec = SPEC
    mixes: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        (x,) = inputs.values()
        self.shapes.append(x.shape)
        if x.dtype == object:
            return [np.ones(x.shape, np.float32)]
        return [x * 2 + (np.abs(x).max() if self.mixes else 0)]


def waiting(source: str, speed: WarmUp = FAST) -> WarmUp:
    batching = Batching(obstacle="not yet checked", source=source)  # type: ignore[arg-type]
    return WarmUp(speed.run_seconds, 1, time_varies=False, batching=batching)


def request(*values: float) -> InferRequest:
    return InferRequest({"x": np.array([values], np.float32)}, ("y",))


async def submit(lane: Lane, results: Results, *requests: InferRequest) -> None:
    for one in requests:
        lane.submit(one, results.append)
    await results.wait(len(results.items) + len(requests))


async def settled(lane: Lane) -> Batching:
    decided = asyncio.Event()
    changed = lane._sharing.changed

    def note() -> None:
        changed()
        decided.set()

    lane._sharing.changed = note
    if lane.batching.awaits_check:
        await asyncio.wait_for(decided.wait(), 120)
    return lane.batching


@pytest.mark.parametrize("speed", [FAST, SLOW], ids=["inline", "on a thread"])
@pytest.mark.parametrize("source", ["graph", "owner"])
async def test_first_request_turns_batching_on(speed: WarmUp, source: str) -> None:
    model, results = RowModel(), Results()
    lane = make_lane(model, waiting(source, speed), max_batch_size=8)
    assert lane.run_inline(request(1, 2)) is None
    await submit(lane, results, request(1, 2))
    assert await settled(lane) == Batching(8, None, source)  # type: ignore[arg-type]
    model.shapes.clear()
    await submit(lane, results, request(3, 4), request(5, 6))
    assert model.shapes == [(2, 2)] if speed is FAST else (2, 2) in model.shapes


async def test_model_whose_rows_mix_is_found_out_by_the_first_request() -> None:
    lane = make_lane(RowModel(mixes=True), waiting("owner"), max_batch_size=8)
    results = Results()
    await submit(lane, results, request(1, 2))
    found = await settled(lane)
    assert found.source is None
    assert "a run of 2 rows" in (found.obstacle or "")
    assert lane.run_inline(request(1, 2)) is not None


async def test_requests_of_other_shapes_that_wait_when_batching_comes_on_stay_apart() -> None:
    model, results = RowModel(), Results()
    lane = make_lane(model, waiting("graph", SLOW), max_batch_size=8)
    await submit(lane, results, request(1, 2))
    requests = [request(*[1.0] * width) for width in (1, 2, 3, 1, 2, 3)]
    for one in requests:
        lane.submit(one, results.append)
    lane._sharing.decide(Batching(8, None, "graph"))
    await results.wait(7)
    widths = [result.outputs[0].shape for result in results.items[1:]]  # type: ignore[union-attr]
    assert sorted(widths) == [(1, 1), (1, 1), (1, 2), (1, 2), (1, 3), (1, 3)]


TEXTS = ModelSpec("m", "1", (TensorSpec("x", BYTES, (-1,)),), (TensorSpec("y", FP32, (-1,)),))


async def test_rows_that_cannot_be_told_apart_are_given_up_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learner, "_MAX_REQUESTS", 20)
    lane = make_lane(RowModel(spec=TEXTS), waiting("owner"), max_batch_size=8)
    results = Results()
    text = InferRequest({"x": np.array(["always the same"], object)}, ("y",))
    async with asyncio.timeout(120):
        while lane.batching.awaits_check:
            await submit(lane, results, text)
    assert lane.batching.obstacle == learner._NO_PROOF


async def test_large_requests_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "_MAX_BYTES", 100)
    model, results = RowModel(), Results()
    lane = make_lane(model, waiting("graph"), max_batch_size=8)
    await submit(lane, results, request(*range(100)))
    assert lane.batching.awaits_check
    await submit(lane, results, request(1, 2))
    assert (await settled(lane)).max_batch_size == 8


async def test_shapes_that_follow_values_turn_batching_off_while_it_waits() -> None:
    class Padding(RowModel):
        def run(self, inputs: Mapping[str, Array], *_: object) -> list[Array]:  # type: ignore[override]
            return [np.zeros((len(inputs["x"]), int(inputs["x"].max())), np.float32)]

    lane = make_lane(Padding(), FAST, max_batch_size=8)
    results = Results()
    await submit(lane, results, request(3.0))
    assert lane.max_batch_size == 8
    await submit(lane, results, request(5.0))
    assert lane.batching == Batching(obstacle=SHAPES_VARY)


async def test_closing_a_lane_ends_what_it_learns_with() -> None:
    lane = make_lane(RowModel(), waiting("graph"), max_batch_size=8)
    results = Results()
    lane.close_when_idle(lambda: None)
    await submit(lane, results, request(1, 2))
    assert lane.batching.awaits_check


@pytest.mark.parametrize(("source", "largest"), [("graph", 2), ("owner", 3)])
def test_check_of_a_slow_model_runs_what_it_must(source: str, largest: int) -> None:
    model = RowModel()
    model.gate.set()
    rows: list[dict[str, Array]] = [{"x": np.array([[value, 1.0]], np.float32)} for value in (1, 2, 3)]
    found = RowChecker(model, 64, scaled=True).check(waiting(source).batching, rows, run_seconds=5.0)
    assert found == Batching(64, None, source)  # type: ignore[arg-type]
    assert max(shape[0] for shape in model.shapes) == largest
