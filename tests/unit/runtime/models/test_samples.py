"""Samples: files, directories and shapes, and what is said of those that do not fit."""

import json
from pathlib import Path

import pytest

from modelservice_runtime.errors import InvalidSettingsError
from modelservice_runtime.model import ModelSpec
from modelservice_runtime.models.samples import read_samples
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.settings.batching import ModelSample, parse_sample
from modelservice_runtime.tensors import FP32, TensorSpec

SPEC = ModelSpec("m", "1", (TensorSpec("x:0", FP32, (-1, 3, -1)),), (TensorSpec("y", FP32, (-1,)),))


def write(path: Path, rows: int = 1, width: int = 2, name: str = "x:0") -> Path:
    data = [[[float(row)] * width] * 3 for row in range(rows)]
    tensor = {"name": name, "datatype": "FP32", "shape": [rows, 3, width], "data": data}
    path.write_text(json.dumps({"inputs": [tensor]}))
    return path


def test_file_lies_beside_the_model_or_in_its_directory(tmp_path: Path) -> None:
    write(tmp_path / "sample.json", rows=2)
    for model in (tmp_path, tmp_path / "model.onnx"):
        samples = read_samples(SPEC, model, ("sample.json",), decode_sample)
        assert [array.shape for sample in samples.inputs for array in sample.values()] == [(2, 3, 2)]


def test_directory_stands_for_its_json_files(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "readme.txt").touch()
    for width in (4, 5):
        write(tmp_path / "samples" / f"{width}.json", width=width)
    samples = read_samples(SPEC, tmp_path / "m.onnx", ("samples",), decode_sample)
    assert [sample["x:0"].shape[2] for sample in samples.inputs] == [4, 5]


def test_shape_of_an_input_whose_name_has_a_colon() -> None:
    assert read_samples(SPEC, Path("/m.onnx"), ("x:0:1x3x224",), decode_sample).shapes == {"x:0": [1, 3, 224]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("absent.json", r"cannot read .*absent\.json.*No such file"),
        ("empty", "no \\*.json file in the directory 'empty'"),
        ("y:1x3", "no input 'y'; it has 'x:0'"),
        ("x:0:1x4x2", "shape \\[1, 4, 2\\], but the model expects \\[-1, 3, -1\\]"),
        ("other.json", "'other.json' is no request to this model as /infer takes it: .*'z'"),
        ("broken.json", "'broken.json' is no request"),
    ],
)
def test_sample_that_does_not_fit_is_refused_with_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other.json", name="z")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InvalidSettingsError, match=f"^InvalidSettings: --samples: .*{sentence}"):
        read_samples(SPEC, tmp_path / "m.onnx", (text,), decode_sample)


def test_parse_sample_is_for_one_model_where_it_names_one() -> None:
    assert parse_sample("m=a.json", ["m"]) == ModelSample("a.json", "m")
    assert parse_sample("n=a.json", ["m"]) == ModelSample("n=a.json")
    assert parse_sample("x:1x3", ["x"]) == ModelSample("x:1x3")
