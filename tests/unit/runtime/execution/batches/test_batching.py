"""Merging and splitting; with hypothesis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelservice_runtime.errors import InferenceFailedError, ServingError
from modelservice_runtime.execution.batches import batching
from modelservice_runtime.execution.batches.batching import (
    SHAPES_VARY,
    RowMismatchError,
    batch_key,
    batch_rows,
    merge_inputs,
    run_batch,
    split_outputs,
)
from modelservice_runtime.execution.batches.output_shapes import OutputShapes
from modelservice_runtime.model import ModelSpec, Run
from modelservice_runtime.tensors import BYTES, FP32, Array, InferRequest, TensorSpec

SPEC = ModelSpec(
    "m",
    "1",
    (TensorSpec("a", FP32, (-1, -1)), TensorSpec("t", BYTES, (-1,))),
    (TensorSpec("b", FP32, (-1, -1)), TensorSpec("u", BYTES, (-1,))),
)


def make_request(rows: int, width: int = 2, start: float = 0.0) -> InferRequest:
    numbers = (np.arange(rows * width, dtype=np.float32) + start).reshape(rows, width)
    texts = np.array([f"{start}:{row}" for row in range(rows)], dtype=object)
    return InferRequest({"a": numbers, "t": texts}, SPEC.output_names)


@dataclass
class EchoModel:
    """Gives its inputs back; fails when a batch holds `poison`."""

    spec: ModelSpec = SPEC
    poison: float | None = None
    extra_rows: int = 0
    calls: list[int] = field(default_factory=list)

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        return None

    def new_run(self) -> Run:
        raise NotImplementedError

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        rows = inputs["a"].shape[0]
        self.calls.append(rows)
        if self.poison is not None and self.poison in inputs["a"]:
            raise InferenceFailedError("poisoned")
        if self.extra_rows and rows > 1:
            return [np.zeros((rows + self.extra_rows, 1), np.float32)] * 2
        return [inputs["a"], inputs["t"]]


@given(rows=st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_run_batch_gives_each_request_what_it_would_get_alone(rows: list[int]) -> None:
    requests = [make_request(count, start=100.0 * index) for index, count in enumerate(rows)]
    model = EchoModel()
    result = run_batch(model, requests, rows, None)
    assert model.calls == [sum(rows)]
    assert [count for count, _ in result.executions] == [sum(rows)]
    for request, outcome in zip(requests, result.outcomes, strict=True):
        assert not isinstance(outcome, ServingError)
        assert np.array_equal(outcome[0], request.inputs["a"])
        assert outcome[1].tolist() == request.inputs["t"].tolist()


@given(
    outputs=st.lists(hnp.arrays(np.int64, st.tuples(st.just(12), st.integers(0, 3))), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 11), max_size=4, unique=True).map(sorted),
)
def test_split_outputs_loses_and_moves_nothing(outputs: list[Array], cuts: list[int]) -> None:
    rows = [end - begin for begin, end in zip([0, *cuts], [*cuts, 12], strict=True)]
    pieces = split_outputs(outputs, rows)
    for index, output in enumerate(outputs):
        assert np.array_equal(np.concatenate([piece[index] for piece in pieces]), output)
    assert [piece[0].shape[0] for piece in pieces] == rows


@pytest.mark.parametrize("shape", [(3, 2), (), (5,)])
def test_split_outputs_with_other_rows_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(RowMismatchError, match="4 rows went in"):
        split_outputs([np.zeros(shape)], [2, 2])


def test_run_batch_retries_singly_so_that_one_bad_request_fails_alone() -> None:
    requests = [make_request(1, start=0), make_request(2, start=700), make_request(1, start=10)]
    model = EchoModel(poison=701.0)
    result = run_batch(model, requests, [1, 2, 1], None)
    assert model.calls == [4, 1, 2, 1]
    assert [isinstance(outcome, ServingError) for outcome in result.outcomes] == [False, True, False]
    assert result.mismatch is None


def test_run_batch_of_a_model_that_mixes_rows_runs_singly_and_says_so() -> None:
    model = EchoModel(extra_rows=1)
    result = run_batch(model, [make_request(1), make_request(1)], [1, 1], None)
    assert result.mismatch == "2 rows went in, an output of shape [3, 1] came out"
    assert len(result.outcomes) == 2


def test_merge_inputs_of_one_request_copies_nothing() -> None:
    request = make_request(3)
    assert merge_inputs(SPEC, [request]) is request.inputs


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ({"a": np.zeros((3, 2)), "t": np.zeros(3)}, 3),
        ({"a": np.zeros((3, 2)), "t": np.zeros(2)}, 0),
        ({"a": np.zeros(()), "t": np.zeros(3)}, 0),
        ({"a": np.zeros((0, 2)), "t": np.zeros(0)}, 0),
    ],
)
def test_batch_rows_are_what_all_inputs_agree_on(inputs: dict[str, Array], rows: int) -> None:
    assert batch_rows(SPEC, inputs) == rows


def test_batch_key_differs_by_shape_and_by_outputs_only() -> None:
    key = batch_key(SPEC, make_request(1))
    assert key == batch_key(SPEC, make_request(5, start=3))
    assert key != batch_key(SPEC, make_request(1, width=3))
    assert key != batch_key(SPEC, InferRequest(make_request(1).inputs, ("b",)))


KEY = ("a kind of requests",)
OPEN = ModelSpec("m", "1", (TensorSpec("x", FP32, (-1, 1)),), (TensorSpec("y", FP32, (-1, -1)),))


@dataclass
class PaddingModel:
    """Counts each row up to its value, as far as the longest row of the run."""

    spec: ModelSpec = OPEN
    calls: list[list[float]] = field(default_factory=list)

    def prepare(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        return None

    def new_run(self) -> Run:
        raise NotImplementedError

    def run(
        self, inputs: Mapping[str, Array], output_names: Sequence[str], handle: Run | None = None
    ) -> list[Array]:
        self.calls.append(inputs["x"].ravel().tolist())
        counts = np.arange(int(inputs["x"].max()), dtype=np.float32)
        return [np.where(counts < inputs["x"], counts, np.float32(-1))]


def padded(*lengths: float) -> list[InferRequest]:
    return [InferRequest({"x": np.array([[length]], np.float32)}, ("y",)) for length in lengths]


@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=5), batches=st.integers(1, 3))
def test_run_batch_of_shapes_that_follow_values_never_pads_one_request_for_another(
    lengths: list[int], batches: int
) -> None:
    """A batch may be right by chance; as soon as two requests alone differ, or a batch does, all is over."""
    model, shapes = PaddingModel(), OutputShapes(OPEN)
    requests = padded(*lengths)
    for request in requests:
        run_batch(model, [request], [1], None, shapes, KEY)
    varies = len(set(lengths)) > 1
    for _ in range(batches):
        result = run_batch(model, requests, [1] * len(requests), None, shapes, KEY)
        assert len(result.outcomes) == len(requests)
        assert (result.mismatch is not None) == varies
        for length, outcome in zip(lengths, result.outcomes, strict=True):
            assert not isinstance(outcome, ServingError)
            assert outcome[0].shape == (1, length)


def test_run_batch_of_a_new_kind_runs_one_request_alone_first() -> None:
    model, shapes = PaddingModel(), OutputShapes(OPEN)
    requests = padded(2, 2, 2)
    assert run_batch(model, requests, [1] * 3, None, shapes, KEY).mismatch is None
    assert model.calls == [[2], [2, 2]]
    assert run_batch(model, requests, [1] * 3, None, shapes, KEY).mismatch is None
    assert model.calls[2:] == [[2, 2, 2]]
    assert run_batch(model, padded(2, 3), [1, 1], None, shapes, KEY).mismatch == SHAPES_VARY
    assert model.calls[3:] == [[2, 3], [2], [3]]


def test_run_batch_needs_no_run_for_shapes_that_the_model_declares() -> None:
    model = EchoModel(
        spec=replace(SPEC, outputs=(TensorSpec("b", FP32, (-1, 2)), TensorSpec("u", BYTES, (-1,))))
    )
    run_batch(model, [make_request(1), make_request(1)], [1, 1], None, OutputShapes(model.spec), KEY)
    assert model.calls == [2]


def test_run_batch_without_memory_to_join_its_requests_runs_them_singly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(batching, "merge_inputs", fail)
    result = run_batch(EchoModel(), [make_request(1), make_request(2)], [1, 2], None)
    assert [len(outcome[0]) for outcome in result.outcomes if isinstance(outcome, list)] == [1, 2]


def test_output_shapes_forget_rather_than_grow() -> None:
    shapes = OutputShapes(OPEN)
    for width in range(2000):
        assert shapes.learn((width,), [np.zeros((1, width))])
    assert not shapes.knows((0,), ("y",))
    assert shapes.knows((1999,), ("y",))
