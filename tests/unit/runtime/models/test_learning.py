"""What is learned of real small models: on what they run, and whether requests may share their runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper
from tests.unit.runtime import onnx_models, row_kinds
from tests.unit.runtime.row_kinds import INDEPENDENT, MIXING, Kind

from modelservice_runtime.errors import InferenceFailedError
from modelservice_runtime.model import Batching, ModelSpec, Run, WarmUp
from modelservice_runtime.models import batching_decision
from modelservice_runtime.models import warm_up as warm_up_module
from modelservice_runtime.models.batching_decision import BatchingWish, prove_file
from modelservice_runtime.models.learning import learn
from modelservice_runtime.models.samples import NO_SAMPLES, Samples, read_samples
from modelservice_runtime.models.warm_up import try_run, warm_up
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import FP32, Array, TensorSpec

WISH = BatchingWish(8)
OWNER = BatchingWish(8, rows_are_independent=True)
node = helper.make_node


@pytest.fixture(autouse=True)
def clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search and no check ends early because the machine is busy; `TimedModel` has a clock of its own."""
    for module in (warm_up_module, batching_decision):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: 0.0))


def load(path: Path) -> OnnxModel:
    return load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))


def prove() -> None:
    return None


def fail_to_prove() -> str:
    return "the node 'y' mixes rows"


@pytest.mark.parametrize("name", sorted(MIXING))
@pytest.mark.parametrize("proof", [prove, fail_to_prove], ids=["graph", "owner"])
def test_model_that_mixes_rows_is_found_out_by_running_whoever_vouches_for_it(
    tmp_path: Path, name: str, proof: Callable[[], str | None]
) -> None:
    learned = learn(load(MIXING[name]().save(tmp_path / "m.onnx")), OWNER, proof)
    assert learned.run_seconds is not None
    assert learned.batching.max_batch_size == 1
    assert learned.batching.source is None
    assert learned.batching.obstacle
    word = learned.batching.obstacle.startswith("the owner's word on rows does not hold: ")
    assert word == (proof is fail_to_prove)


@pytest.mark.parametrize("name", sorted(INDEPENDENT))
@pytest.mark.parametrize(("proof", "source"), [(prove, "graph"), (fail_to_prove, "owner")])
def test_model_of_independent_rows_passes_the_check(
    tmp_path: Path, name: str, proof: Callable[[], str | None], source: str
) -> None:
    learned = learn(load(INDEPENDENT[name]().save(tmp_path / "m.onnx")), OWNER, proof)
    assert (learned.batching, learned.note) == (Batching(8, None, source), "")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(MIXING))
def test_no_graph_proves_that_mixed_rows_are_independent(tmp_path: Path, name: str) -> None:
    assert prove_file(MIXING[name]().save(tmp_path / "m.onnx"))


@pytest.mark.parametrize("name", sorted(INDEPENDENT))
def test_graph_proves_that_independent_rows_are(tmp_path: Path, name: str) -> None:
    assert prove_file(INDEPENDENT[name]().save(tmp_path / "m.onnx")) is None


def test_file_that_cannot_be_analysed_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    assert prove_file(tmp_path / "empty.onnx") == "the graph could not be analysed; the log has the details"


def test_model_without_a_proof_is_not_batched_unless_its_owner_vouches_for_it(tmp_path: Path) -> None:
    model = load(INDEPENDENT["dense"]().save(tmp_path / "m.onnx"))
    assert learn(model, WISH, fail_to_prove).batching == Batching(obstacle="the node 'y' mixes rows")


@pytest.mark.parametrize("datatype", sorted(onnx_models.ONNX_TYPES))
@pytest.mark.parametrize("wish", [WISH, OWNER])
def test_rows_of_every_datatype_can_be_told_apart(tmp_path: Path, datatype: str, wish: BatchingWish) -> None:
    model = load(onnx_models.save_identity(tmp_path / "m.onnx", datatype, ["n"]))
    proof = prove if wish is WISH else fail_to_prove
    assert learn(model, wish, proof).batching.max_batch_size == 8


@pytest.mark.parametrize(
    ("shape", "output", "obstacle"),
    [
        ([1, 2], [1, 2], "input 'x' has no variable first dimension"),
        (["n", 2], [], "output 'y' has no variable first dimension"),
        ([], [], "input 'x' has no variable first dimension"),
    ],
)
def test_model_without_a_batch_dimension_says_so(
    tmp_path: Path, shape: list[int | str], output: list[int | str], obstacle: str
) -> None:
    nodes = [node("ReduceSum", ["x"], ["y"], keepdims=0)] if output == [] else [node("Abs", ["x"], ["y"])]
    kind = Kind(nodes, shape, {"y": ("FP32", output)})
    batching = learn(load(kind.save(tmp_path / "m.onnx")), OWNER, prove).batching
    assert (batching.max_batch_size, batching.source) == (1, None)
    assert obstacle in (batching.obstacle or "")


def constant() -> Kind:
    """Nothing can be said of its rows, for they are all alike."""
    return row_kinds.over_batch(node("Sub", ["x", "x"], ["y"]))


def test_owners_word_alone_waits_for_rows_that_can_be_told_apart(tmp_path: Path) -> None:
    model = load(constant().save(tmp_path / "m.onnx"))
    assert learn(model, OWNER, fail_to_prove).batching.awaits_check
    assert learn(model, OWNER, prove).batching == Batching(8, None, "graph")


def images(axis: int) -> Kind:
    """Takes three channels, and at least 40 pixels a side."""
    shape: list[int | str] = ["n", "h", "w", "c"]
    shape.insert(axis, shape.pop())
    nodes = [node("Conv", ["i", "k"], ["y"])]
    nodes.insert(0, node("Identity" if axis == 1 else "Transpose", ["x"], ["i"]))
    if axis == 3:
        nodes[0].attribute.append(helper.make_attribute("perm", [0, 3, 1, 2]))
    weights = {"k": np.ones((1, 3, 40, 40), np.float32)}
    return Kind(nodes, shape, {"y": ("FP32", ["n", 1, "a", "b"])}, weights)


def cached_attention() -> Kind:
    """Sizes that are bound to each other by their names, as decoders have them."""
    kind = Kind([node("Add", ["xp", "mask"], ["y"])], ["n", "sequence"], {"y": ("FP32", ["n", "total"])})
    kind.nodes = [node("Concat", ["past", "x"], ["xp"], axis=1), *kind.nodes]
    return kind


@pytest.mark.parametrize("axis", [1, 3])
def test_images_are_made_up_large_enough_and_in_colour(tmp_path: Path, axis: int) -> None:
    learned = learn(load(images(axis).save(tmp_path / "m.onnx")), WISH, prove)
    assert learned.batching == Batching(8, None, "graph")


def test_sizes_follow_the_names_of_dimensions(tmp_path: Path) -> None:
    value = onnx_models.value
    path = onnx_models.save(
        tmp_path / "m.onnx",
        cached_attention().nodes,
        [
            value("x", "FP32", ["n", "sequence"]),
            value("past", "FP32", ["n", "past"]),
            value("mask", "FP32", ["n", "past + sequence"]),
        ],
        [value("y", "FP32", ["n", "total"])],
    )
    assert learn(load(path), WISH, prove).batching == Batching(8, None, "graph")


def wide(features: int = 1001) -> Kind:
    """Takes as many features as nobody would guess, and does not tell."""
    weights = np.ones((features, 2), np.float32)
    return replace(row_kinds.over_batch(node("MatMul", ["x", "w"], ["y"]), w=weights), shape=["n", "f"])


@pytest.mark.parametrize("features", [4, 13, 30, 80, 768])
def test_numbers_of_features_are_guessed(tmp_path: Path, features: int) -> None:
    learned = learn(load(wide(features).save(tmp_path / "m.onnx")), WISH, prove)
    assert learned.batching == Batching(8, None, "graph")


def test_model_that_suits_nothing_made_up_awaits_requests(tmp_path: Path) -> None:
    learned = learn(load(wide().save(tmp_path / "m.onnx")), WISH, prove)
    assert learned.batching.awaits_check
    assert learned.run_seconds is None
    assert "did not run on synthetic inputs" in learned.note


@pytest.mark.parametrize(
    "samples",
    [
        Samples(shapes={"x": [1, 1001]}),
        Samples((({"x": np.ones((1, 1001), np.float32)}),)),
        Samples((({"x": np.eye(5, 1001, dtype=np.float32)}),)),
    ],
)
def test_samples_stand_in_for_made_up_inputs(tmp_path: Path, samples: Samples) -> None:
    assert learn(load(wide().save(tmp_path / "m.onnx")), OWNER, fail_to_prove, samples).batching == Batching(
        8, None, "owner"
    )


SPEC = ModelSpec("m", "1", (TensorSpec("x", FP32, (-1, 1)),), (TensorSpec("y", FP32, (-1, 1)),))


@dataclass
class TimedModel:
    """Doubles its input; a run of a row takes so many seconds of a clock that stands still otherwise."""

    row_seconds: float
    monkeypatch: pytest.MonkeyPatch
    spec: ModelSpec = SPEC
    time_varies: bool = False
    is_coarse: bool = False
    rows: list[int] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        self.monkeypatch.setattr(warm_up_module, "time", clock)

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        return None

    def new_run(self) -> Run:
        return SimpleNamespace(stop=lambda: None)

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        self.rows.append(len(inputs["x"]))
        self.now += self.row_seconds * len(inputs["x"])
        return [inputs["x"] * 2]


def test_slow_model_is_run_once_and_waits_for_requests_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimedModel(0.6, monkeypatch)
    learned = learn(model, OWNER, prove)
    assert model.rows == [1]
    assert learned.run_seconds == pytest.approx(0.6)
    assert learned.batching.awaits_check
    try_run(model)
    assert model.rows == [1, 1]


def test_nothing_is_asked_about_batches_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimedModel(0.05, monkeypatch)
    assert learn(model, BatchingWish(1, rows_are_independent=True), pytest.fail).batching == Batching()
    assert set(model.rows) == {1}
    assert len(model.rows) <= 4


def test_check_takes_the_maximum_where_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slower = TimedModel(1e-6, monkeypatch), TimedModel(0.03, monkeypatch)
    assert learn(fast, BatchingWish(64), prove).batching.max_batch_size == 64
    assert {1, 2, 3, 64} == set(fast.rows)
    assert learn(slower, BatchingWish(64), prove).batching.max_batch_size == 64
    assert {1, 2, 3} < set(slower.rows)
    assert max(slower.rows) < 64
    assert sum(slower.rows) * 0.03 < 3


class Rounding(TimedModel):
    """A row in a batch is a little, or much, larger than alone."""

    error: float = 0.0

    def run(self, inputs: Mapping[str, Array], *_: object) -> list[Array]:  # type: ignore[override]
        return [inputs["x"] * np.float32(2 + (self.error if len(inputs["x"]) > 1 else 0))]


@pytest.mark.parametrize(
    ("error", "coarse", "found"),
    [
        (1e-5, False, Batching(8, None, "graph")),
        (0.004, False, None),
        (0.004, True, Batching(8, None, "graph")),
        (0.04, True, None),
        (0.5, True, Batching(obstacle="a row in a run of 2 rows came out other than alone")),
    ],
)
def test_what_may_be_magnified_rounding_is_left_to_the_first_requests(
    monkeypatch: pytest.MonkeyPatch, error: float, coarse: bool, found: Batching | None
) -> None:
    model = Rounding(1e-6, monkeypatch, is_coarse=coarse)
    model.error = error
    batching = learn(model, WISH, prove).batching
    assert batching == found or (found is None and batching.awaits_check)


class Secretive(TimedModel):
    """Tells what was sent where several rows are together."""

    def run(self, inputs: Mapping[str, Array], *_: object) -> list[Array]:  # type: ignore[override]
        if len(inputs["x"]) > 1:
            raise InferenceFailedError(f"cannot use {inputs['x']}: a secret")
        return [inputs["x"] * 2]


def test_obstacle_tells_nothing_of_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    batching = learn(Secretive(1e-6, monkeypatch), WISH, prove).batching
    assert batching == Batching(obstacle="each of 2 rows ran alone, but not all together")


class Picky(TimedModel):
    """Refuses everything; that takes its time."""

    def run(self, *arguments: object) -> list[Array]:  # type: ignore[override]
        self.rows.append(1)
        self.now += self.row_seconds
        raise InferenceFailedError("never")


def test_search_for_inputs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Picky(1.5, monkeypatch)
    assert learn(model, WISH, prove).batching.awaits_check
    assert len(model.rows) == 2
    try_run(model)
    assert len(model.rows) == 4


def test_warm_up_without_samples_reports_what_it_ran_on(tmp_path: Path) -> None:
    warmed = warm_up(load(INDEPENDENT["windows"]().save(tmp_path / "m.onnx")))
    assert warmed.recipe is not None
    assert warmed.recipe.size == 3
    assert warmed.input_elements == 9
    assert isinstance(learn(load(tmp_path / "m.onnx")), WarmUp)


def test_read_samples_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert read_samples(SPEC, tmp_path, (), decode_sample) is NO_SAMPLES
