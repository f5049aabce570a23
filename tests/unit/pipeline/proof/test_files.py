"""The files of a proof: they keep every value, are the same bytes each time, and run nothing."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.proof.files import ARRAYS_NAME, JSON_NAME, read_inputs, read_proof, write_proof
from modelservice_pipeline.proof.proof import Case, Decision, Proof, Tolerance, describe_machine

KINDS = st.sampled_from(["<f4", "<f8", "<f2", "<i8", "|u1", "|b1"])


def proof_of(**inputs):
    return Proof((Case(inputs, {"y": np.array([1.5])}),))


@given(tensor=KINDS.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0))))
def test_written_numbers_are_read_again(tmp_path_factory, tensor):
    folder = tmp_path_factory.mktemp("proof")
    write_proof(proof_of(x=tensor), folder)
    found = read_proof(folder).cases[0].inputs["x"]
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    np.testing.assert_array_equal(found, tensor)


@given(texts=st.lists(st.text(), min_size=1, max_size=4))
def test_written_texts_are_read_again(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("proof")
    tensor = np.empty((len(texts), 1), object)
    tensor[:, 0] = texts
    write_proof(proof_of(x=tensor), folder)
    found = read_proof(folder).cases[0].inputs["x"]
    assert found.dtype == object
    assert found.tolist() == tensor.tolist()


def test_everything_else_is_read_again(tmp_path):
    written = Proof(
        (Case({"a/b": np.zeros(1)}, {"y": np.zeros(1)}), Case({"a/b": np.zeros(2)}, {"y": np.zeros(2)})),
        tolerance=Tolerance(0.05, 0.025),
        labels={"label": Decision("y", lowest=True)},
        has_thresholds=True,
        versions={"torch": "2.15"},
        machine=describe_machine(),
        model_sha256="ab" * 32,
    )
    write_proof(written, tmp_path)
    read = read_proof(tmp_path)
    assert len(read.cases) == 2
    for name in ("tolerance", "labels", "has_thresholds", "versions", "machine", "model_sha256"):
        assert getattr(read, name) == getattr(written, name), name


def test_same_proof_is_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_proof(proof_of(x=np.arange(3)), tmp_path / name)
    for name in (JSON_NAME, ARRAYS_NAME):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_pickle_in_the_arrays_is_never_opened(tmp_path):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    np.savez(
        tmp_path / ARRAYS_NAME, array_0=np.array([Bomb()], object), array_1=np.zeros(1), allow_pickle=True
    )
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)
    with zipfile.ZipFile(tmp_path / ARRAYS_NAME, "w") as file:
        file.writestr("array_0.npy", pickle.dumps(Bomb()))
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format": 2}', b"\xff", b'{"format": 1, "cases": 3}']
)
def test_damaged_file_is_told(tmp_path, content):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    (tmp_path / JSON_NAME).write_bytes(content)
    with pytest.raises(PipelineError, match=r"damaged|format 2"):
        read_proof(tmp_path)


def rewrite(folder, change):
    document = json.loads((folder / JSON_NAME).read_text())
    change(document)
    (folder / JSON_NAME).write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["cases"][0].update(outputs={}),
        lambda document: document["cases"].append({**document["cases"][0], "outputs": {}}),
        lambda document: document.update(cases=[]),
        lambda document: document.update(format=True),
        lambda document: document.update(labels={"y": {"scores": ["y"]}}),
        *(
            lambda document, name=name, value=value: document["tolerance"].update({name: value})
            for name in ("relative", "absolute")
            for value in (float("inf"), float("nan"), -1, 1e9, 1.0, "0.001", True, None)
        ),
    ],
)
def test_proof_that_would_hold_for_every_model_is_refused(tmp_path, change):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(PipelineError, match=r"damaged|format True"):
        read_proof(tmp_path)


def test_proof_whose_outputs_have_no_values_is_refused(tmp_path):
    write_proof(Proof((Case({"x": np.zeros((0, 2))}, {"y": np.zeros((0, 3))}),)), tmp_path)
    with pytest.raises(PipelineError, match="no values"):
        read_proof(tmp_path)


def test_inputs_are_read_where_outputs_are_still_to_come(tmp_path):
    write_proof(Proof((Case({"x": np.arange(3)}, {}),)), tmp_path)
    assert read_inputs(tmp_path)["x"].tolist() == [0, 1, 2]


def test_json_nested_deeper_than_python_reads_is_told(tmp_path):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    (tmp_path / JSON_NAME).write_text("[" * 100_000)
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 97)], ids=["encrypted", "unknown packing"])
def test_arrays_packed_in_a_way_that_is_not_read_are_told(tmp_path, offset, value):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    content = bytearray((tmp_path / ARRAYS_NAME).read_bytes())
    # The fields of the first member, in the directory and before its content.
    content[content.index(b"PK\x01\x02") + offset] = value
    content[offset - 2] = value
    (tmp_path / ARRAYS_NAME).write_bytes(content)
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)


@pytest.mark.parametrize("kind", [[("a", "<f4"), ("b", "<i4")], "<M8[s]", "<c8", "S3"])
def test_arrays_of_what_no_model_takes_are_told(tmp_path, kind):
    write_proof(Proof((Case({"x": np.zeros(2, kind)}, {"y": np.zeros(2)}),)), tmp_path)
    with pytest.raises(PipelineError, match="instead of numbers"):
        read_proof(tmp_path)


def test_damaged_arrays_are_told(tmp_path):
    write_proof(proof_of(x=np.zeros(1)), tmp_path)
    content = (tmp_path / ARRAYS_NAME).read_bytes()
    (tmp_path / ARRAYS_NAME).write_bytes(content[: len(content) // 2])
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)


def test_shape_that_the_array_does_not_have_is_told(tmp_path):
    write_proof(proof_of(x=np.zeros(3)), tmp_path)
    document = json.loads((tmp_path / JSON_NAME).read_text())
    document["cases"][0]["inputs"]["x"]["shape"] = [2]
    (tmp_path / JSON_NAME).write_text(json.dumps(document))
    with pytest.raises(PipelineError, match="damaged"):
        read_proof(tmp_path)


def test_array_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("modelservice_pipeline.proof.files._MAX_ARRAY_BYTES", 1000)
    write_proof(proof_of(x=np.zeros(1000)), tmp_path)
    with pytest.raises(PipelineError, match="unpacks to more"):
        read_proof(tmp_path)


def test_folder_without_a_proof_is_told(tmp_path):
    with pytest.raises(PipelineError, match=r"no proof\.json beside the model"):
        read_proof(tmp_path)
