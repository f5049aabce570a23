"""Columns become the inputs that a model takes; labels, slices and parts go with them."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_pipeline.data.dataset import Dataset, compute_positions, take_part, take_sample
from modelservice_pipeline.data.labels import parse_labels
from modelservice_pipeline.data.load import load_dataset
from modelservice_pipeline.data.matching import fit_shape
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import Port

TEXT = Port("text", "object", (None,))
FEATURES = Port("X", "float32", (None, 3))


def write(tmp_path, content, name="rows.csv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_one_text_column_is_the_text_whatever_its_name(tmp_path):
    data = load_dataset(write(tmp_path, "message,label\nhé,ham\nyo,spam\n"), [TEXT])
    assert data.inputs["text"].tolist() == ["hé", "yo"]
    assert data.inputs["text"].dtype == object
    assert data.labels.tolist() == ["ham", "spam"]
    assert len(data) == 2


def test_many_columns_are_one_matrix_in_their_order(tmp_path):
    data = load_dataset(write(tmp_path, "c,b,target,a\n1,2,0,3\n4,5,1,6\n"), [FEATURES])
    assert data.inputs["X"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.inputs["X"].dtype == np.float32


def test_an_input_for_each_column_by_names_that_exporters_change(tmp_path):
    ports = [Port("sepal_length__cm_", "float32", (None, 1)), Port("kind", "object", (None, 1))]
    data = load_dataset(write(tmp_path, "sepal length (cm),Kind,label\n1.5,x,0\n"), ports)
    assert data.inputs["sepal_length__cm_"].tolist() == [[1.5]]
    assert data.inputs["kind"].tolist() == [["x"]]


def test_slice_is_an_input_too_where_the_input_wants_it(tmp_path):
    path = write(tmp_path, "a,b,sex,label\n1,2,0,1\n")
    options = DataOptions(slices=("sex",))
    data = load_dataset(path, [FEATURES], options)
    assert data.inputs["X"].tolist() == [[1, 2, 0]]
    assert data.slices["sex"].tolist() == ["0"]
    assert load_dataset(path, [Port("X", "float32", (None, 2))], options).inputs["X"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["0", "1"], [0, 1]),
        (["0.5", "1"], [0.5, 1.0]),
        (["-1", "a"], ["-1", "a"]),
        (["007", "008"], ["007", "008"]),
        (["99999999999999999999", "1"], [1e20, 1.0]),
        (["1_0", "2"], ["1_0", "2"]),
        (["٣", "2"], ["٣", "2"]),
    ],
)
def test_labels_parse_to_the_type_that_all_of_them_have(tmp_path, cells, labels):
    data = load_dataset(
        write(tmp_path, "x,label\n" + "".join(f"1,{cell}\n" for cell in cells)), [Port("x", "int64", (None,))]
    )
    assert data.labels.tolist() == cells
    assert parse_labels(data.labels).tolist() == labels


def test_one_column_is_not_a_matrix_for_having_its_name(tmp_path):
    path = write(tmp_path, "x,y,label\n1,2,0\n")
    assert load_dataset(path, [Port("X", "float32", (None, None))]).inputs["X"].tolist() == [[1, 2]]
    assert load_dataset(path, [Port("x", "float32", (None, 2))]).inputs["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "kind"}, "no column 'kind' for the label; its columns are: a, b, c"),
        ({"ignored": ("kind",)}, "no column 'kind' for --ignore"),
        ({}, "which column is the label"),
        ({"label": "c", "inputs": {"Y": ("a",)}}, "no input Y; its inputs are: X"),
        ({"label": "c"}, "takes 3 numbers a row, and .* has 2 columns: a, b; leave"),
        ({"needs_label": False, "slices": ("d",)}, "no column 'd' for a slice"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, options, message):
    with pytest.raises(PipelineError, match=message):
        load_dataset(write(tmp_path, "a,b,c\n1,2,0\n"), [FEATURES], DataOptions(**options))


def test_several_text_columns_are_not_guessed(tmp_path):
    path = write(tmp_path, "title,body,label\na,b,0\n")
    with pytest.raises(PipelineError, match=r"several columns: title, body; name it: --input text=COLUMN"):
        load_dataset(path, [TEXT])
    chosen = DataOptions(inputs={"text": ("body",)})
    assert load_dataset(path, [TEXT], chosen).inputs["text"].tolist() == ["b"]


def test_missing_label_is_told(tmp_path):
    with pytest.raises(PipelineError, match="line 3, column 'label': the label is missing"):
        load_dataset(write(tmp_path, "x,label\na,b\nc,\n"), [TEXT])


@pytest.mark.parametrize("cell", ["", "NA", "nan", "inf"])
def test_missing_number_names_the_flag_that_passes_it_on(tmp_path, cell):
    path = write(tmp_path, f"age,label\n1,0\n{cell},1\n")
    with pytest.raises(PipelineError, match=r"line 3, column 'age': .*--allow-nan"):
        load_dataset(path, [Port("age", "float32", (None, 1))])


def test_text_in_place_of_a_number_is_not_passed_on(tmp_path):
    with pytest.raises(PipelineError, match="'old'") as refused:
        load_dataset(write(tmp_path, "age,label\nold,0\n"), [Port("age", "float32", (None, 1))])
    assert "--allow-nan" not in str(refused.value)


def test_whole_numbers_are_checked_and_not_cut(tmp_path):
    path = write(tmp_path, "x,label\n300,0\n")
    assert load_dataset(path, [Port("x", "int64", (None,))]).inputs["x"].tolist() == [300]
    with pytest.raises(PipelineError, match=r"line 2, column 'x': holds '300', .* whole number of uint8"):
        load_dataset(path, [Port("x", "uint8", (None,))])
    with pytest.raises(PipelineError, match=r"holds '1\.5'"):
        load_dataset(write(tmp_path, "x,label\n1.5,0\n"), [Port("x", "int64", (None,))])


def test_npz_arrays_are_inputs_by_name_and_refuse_pickles(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, images=np.zeros((2, 8, 8), np.uint8), text=np.array(["a", "b"]), label=np.array([1, 0]))
    data = load_dataset(path, [Port("images", "float32", (None, 1, 8, 8)), TEXT])
    assert data.inputs["images"].shape == (2, 1, 8, 8)
    assert data.inputs["text"].tolist() == ["a", "b"]
    np.savez(path, x=np.array([{}]), label=np.array([1]))
    with pytest.raises(PipelineError, match="array 'x': is pickled"):
        load_dataset(path, [TEXT])
    np.savez(path, x=np.zeros((3, 2)), label=np.array([1]))
    with pytest.raises(PipelineError, match="same number of rows, and they have: x 3, label 1"):
        load_dataset(path, [TEXT])


def test_npz_number_that_is_not_finite_names_its_row(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, X=np.array([[1, 2, 3], [1, np.nan, 3]]), label=np.array([1, 0]))
    with pytest.raises(PipelineError, match="row 2, column 'X': holds nan, which is no finite float32"):
        load_dataset(path, [FEATURES])
    np.savez(path, X=np.array([[1, 2, 3], [1, 500, 3]]), label=np.array([1, 0]))
    with pytest.raises(PipelineError, match=r"row 2, column 'X': holds 500, .* whole number of uint8"):
        load_dataset(path, [Port("X", "uint8", (None, 3))])


def test_single_array_is_no_data_set(tmp_path):
    with (tmp_path / "rows.npz").open("wb") as file:
        np.save(file, np.zeros((2, 3)))
    with pytest.raises(PipelineError, match="is one array; write arrays by name"):
        load_dataset(tmp_path / "rows.npz", [FEATURES])


def test_idx_pair_is_found_by_name_and_scaled(tmp_path):
    images = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 1, 2) + bytes([0, 255, 51, 102])
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 2) + b"\x07\x09")
    )
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    data = load_dataset(path, [Port("x", "float32", (None, 1, 1, 2))], DataOptions(divide_by=255))
    assert data.inputs["x"].tolist() == [[[[0.0, 1.0]]], [[[np.float32(0.2), np.float32(0.4)]]]]
    assert data.labels.tolist() == [7, 9]
    path.write_bytes(images[:-1])
    with pytest.raises(PipelineError, match="it is not whole"):
        load_dataset(path, [Port("x", "float32", (None, 1, 1, 2))])


def test_shape_never_moves_values():
    pictures = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    with pytest.raises(PipelineError, match="takes rows of 3 x 4 x 4, and the data has rows of 4 x 4 x 3"):
        fit_shape(pictures, Port("x", "float32", (None, 3, 4, 4)))
    assert fit_shape(pictures.reshape(2, 48), Port("x", "float32", (None, 3, 4, 4))).shape == (2, 3, 4, 4)
    assert fit_shape(np.zeros((2, 1)), Port("x", "float32", (None,))).shape == (2,)
    assert fit_shape(np.zeros((2, 5, 5)), Port("x", "float32", (None, 1, None, None))).shape == (2, 1, 5, 5)


@given(st.lists(st.text(), min_size=1, max_size=30))
def test_rows_of_one_key_stay_in_one_part(keys):
    array = np.fromiter(keys, object, len(keys))
    data = Dataset("x", {"x": np.arange(len(keys))}, keys=array)
    parts = [take_part(data, 0, 0.3), take_part(data, 0.3, 0.7), take_part(data, 0.7, 1)]
    assert sorted(row for part in parts for row in part.inputs["x"].tolist()) == list(range(len(keys)))
    owners = [set(part.keys.tolist()) for part in parts]
    assert sum(len(owner) for owner in owners) == len(set(keys))


def test_positions_are_those_of_the_hash_and_spread():
    keys = np.fromiter((f"message {number}" for number in range(4000)), object, 4000)
    positions = compute_positions(Dataset("x", {"x": np.arange(4000)}, keys=keys))
    assert 0.45 < positions.mean() < 0.55
    assert positions[0] == pytest.approx(
        0.45682875
    )  # 0x74f2bab0 / 2**32, of `printf "message 0" | sha256sum`
    without = compute_positions(Dataset("x", {"x": np.array([1.0, 2.0, 1.0])}))
    assert without[0] == without[2] != without[1]


def test_sample_is_the_same_for_a_seed_and_in_order():
    data = Dataset("x", {"x": np.arange(100)}, np.arange(100))
    sample = take_sample(data, 10, seed=1)
    assert sample.labels.tolist() == sorted(set(take_sample(data, 10, seed=1).inputs["x"].tolist()))
    assert len(sample) == 10
    assert take_sample(data, 1000, seed=1) is data


def test_truth_as_pandas_writes_it_is_a_number_where_one_belongs(tmp_path):
    path = write(tmp_path, "a,member,c,label\n1,True,3,0\n4,False,6,1\n")
    assert load_dataset(path, [FEATURES]).inputs["X"].tolist() == [[1, 1, 3], [4, 0, 6]]
    counts = [Port(name, "int64", (None, 1)) for name in ("a", "member", "c")]
    assert load_dataset(path, counts).inputs["member"].tolist() == [[1], [0]]
