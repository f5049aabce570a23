from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.port import Port
from modelservice_pipeline.predict.patience import Clock
from modelservice_pipeline.predict.requests import Plan, Sizes, Work
from modelservice_pipeline.predict.rows import fill_rows, join_outputs, prepare_rows


def prepare(values: Any, dtype: str, *shape: int | None) -> np.ndarray[Any, Any]:
    return prepare_rows({"x": values}, [Port("x", dtype, (None, *shape))])["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "shape", "result"),
    [
        ([1, 2], "float32", (), np.array([1, 2], "float32")),
        ([1.0, 2.0], "int64", (), np.array([1, 2], "int64")),
        ([True, False], "float32", (), np.array([1, 0], "float32")),
        ([1, 2], "float32", (1,), np.array([[1], [2]], "float32")),
        ([[1], [2]], "float32", (), np.array([1, 2], "float32")),
        (["a", "b"], "object", (1,), np.array([["a"], ["b"]], object)),
        (np.array(["a", "b"]), "object", (), np.array(["a", "b"], object)),
        ([1e300], "float32", (), np.array([np.inf], "float32")),
    ],
)
def test_rows_become_what_the_model_takes(
    values: Any, dtype: str, shape: tuple[int | None, ...], result: np.ndarray[Any, Any]
) -> None:
    prepared = prepare(values, dtype, *shape)
    assert prepared.dtype == result.dtype
    np.testing.assert_array_equal(prepared, result)


@pytest.mark.parametrize(
    ("values", "dtype", "shape", "sentence"),
    [
        ([1.5], "int64", (), "numbers that are none, such as 1.5"),
        ([float("nan")], "int64", (), "such as nan"),
        ([300], "uint8", (), "such as 300"),
        (["a"], "float32", (), "takes float32, and the data has texts"),
        ([1, 2], "object", (), "a value of type int"),
        (["a", None], "object", (), "a value of type NoneType"),
        ([1], "bool", (), "takes bool"),
        ([[1, 2, 3]], "float32", (4,), "has the shape 1 x 3, and the model takes rows x 4"),
        (3, "float32", (), "one value"),
        ([], "float32", (), "no rows"),
    ],
)
def test_rows_that_do_not_fit_are_told(
    values: Any, dtype: str, shape: tuple[int | None, ...], sentence: str
) -> None:
    with pytest.raises(PipelineError, match=sentence):
        prepare(values, dtype, *shape)


def test_names_and_numbers_of_rows_are_checked() -> None:
    ports = [Port("a", "float32", (None,)), Port("b", "float32", (None,))]
    with pytest.raises(PipelineError, match="takes 'a', 'b': it lacks 'b' and it does not know 'c'"):
        prepare_rows({"a": np.zeros(1), "c": np.zeros(1)}, ports)
    with pytest.raises(PipelineError, match="different numbers of rows: 'a' 1, 'b' 2"):
        prepare_rows({"a": np.zeros(1), "b": np.zeros(2)}, ports)


def test_outputs_without_rows_are_left_out_and_none_at_all_is_told() -> None:
    rows = np.zeros((2, 3))
    parts = [
        (2, {"y": rows, "loss": np.zeros(()), "ids": np.zeros((2, 4))}),
        (1, {"y": rows[:1], "ids": rows[:1]}),
    ]
    assert set(join_outputs(parts, "m")) == {"y"}
    with pytest.raises(PipelineError, match=r"'y' \[2, 3\]"):
        join_outputs([(5, {"y": rows})], "m")


def test_filled_rows_repeat_the_last() -> None:
    np.testing.assert_array_equal(fill_rows({"x": np.array([1, 2])}, 4)["x"], [1, 2, 2, 2])


@given(
    rows=st.integers(1, 3000),
    most=st.none() | st.integers(1, 50),
    limit=st.integers(1, 100),
    concurrency=st.integers(1, 3),
    row_bytes=st.sampled_from([1, 10_000, 10**9]),
)
def test_every_row_is_asked_once_whatever_is_too_large(
    rows: int, most: int | None, limit: int, concurrency: int, row_bytes: int
) -> None:
    answered: list[range] = []

    def ask(start: int, stop: int) -> dict[str, np.ndarray[Any, Any]] | None:
        assert most is None or stop - start <= most
        if stop - start > limit:
            return None
        answered.append(range(start, stop))
        return {"y": np.arange(start, stop)}

    work = Work(Plan(rows, row_bytes, 1), Sizes(most, None), Clock())
    work.share(ask, concurrency)
    np.testing.assert_array_equal(join_outputs(work.results(), "m")["y"], np.arange(rows))
    assert sorted(row for part in answered for row in part) == list(range(rows))
