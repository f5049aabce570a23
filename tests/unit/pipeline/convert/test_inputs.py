"""What a user says of inputs and rows: read as meant, or refused with a sentence."""

import numpy as np
import pytest

from modelservice_pipeline.convert.inputs import parse_input
from modelservice_pipeline.convert.inside.tensors import Input, make_runs
from modelservice_pipeline.convert.samples import read_samples
from modelservice_pipeline.errors import PipelineError


def test_input_has_a_name_a_type_sizes_and_a_bound():
    assert parse_input("ids=int64[batch,length, 3]<100") == {
        "name": "ids",
        "dtype": "int64",
        "shape": ["batch", "length", 3],
        "below": 100,
    }
    assert parse_input("x=float32[]")["shape"] == []


@pytest.mark.parametrize(
    "text", ["x", "x=int64", "x=long[2]", "x=float32[0]", "x=float32[a-b]", "=float32[1]"]
)
def test_input_that_says_something_else_is_refused(text):
    with pytest.raises(PipelineError, match="--input"):
        parse_input(text)


def test_runs_have_other_sizes_where_they_vary_and_one_row_alone():
    inputs = [Input("ids", "int64", ("batch", "length"), 7), Input("x", "float32", ("batch", 3))]
    runs = make_runs(inputs, {}, 10, np.random.default_rng(0))
    assert [run["ids"].shape[0] for run in runs] == [10, 1, 3]
    assert len({run["ids"].shape[1] for run in runs}) == 3
    assert all(run["x"].shape == (run["ids"].shape[0], 3) for run in runs)
    assert max(run["ids"].max() for run in runs) == 6


def test_csv_has_numbers_texts_and_what_is_missing(tmp_path):
    (tmp_path / "rows.csv").write_text('\ufeffage,city,n\n1.5,"Rome, IT",1\n,,2\n', encoding="utf-8")
    found = read_samples(tmp_path / "rows.csv")
    np.testing.assert_array_equal(found["age"], [1.5, np.nan])
    assert found["city"].tolist() == ["Rome, IT", ""]
    assert found["n"].tolist() == [1.0, 2.0]


def test_json_lines_and_arrays_are_read(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": 1, "t": "x"}\n{"a": null, "t": null}\n')
    found = read_samples(tmp_path / "rows.jsonl")
    assert found["t"].tolist() == ["x", ""]
    assert np.isnan(found["a"][1])
    np.savez(tmp_path / "rows.npz", x=np.ones((2, 3)), t=np.array(["a", "b"]))
    found = read_samples(tmp_path / "rows.npz")
    assert found["x"].shape == (2, 3)
    assert found["t"].dtype == object


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"x"),
        ("a.csv", b""),
        ("a.csv", b"x,y\n"),
        ("a.csv", b"x,y\n1\n"),
        ("a.jsonl", b"{"),
        ("a.jsonl", b"[1]\n"),
        ("a.npz", b"PK"),
        ("a.csv", b"\xff\xfe"),
    ],
)
def test_file_that_is_none_is_told(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PipelineError, match=name.replace(".", r"\.")):
        read_samples(tmp_path / name)
