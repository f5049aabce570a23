"""Which file of a folder is the model, what belongs to it, and what is refused with a sentence."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.pipeline.package.folders import FILES, NAMED, PLAIN, write

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.package.folder import clean_path, find_models, read_folder


def test_folder_takes_all_that_belongs_to_the_model(tmp_path: Path) -> None:
    foreign = {".git/config": b"", ".DS_Store": b"", "__pycache__/a.pyc": b"", "a.tmp": b""}
    folder = read_folder(write(tmp_path, FILES | foreign | {"modelservice.yaml": b"", "old.onnx": PLAIN}))
    assert list(folder.files) == sorted(FILES)
    assert folder.model == "model.onnx"
    assert folder.left_out.keys() == {"modelservice.yaml", "old.onnx"}


def test_file_takes_its_external_data_along(tmp_path: Path) -> None:
    folder = read_folder(write(tmp_path, FILES) / "model.onnx")
    assert list(folder.files) == ["model.onnx", "model.onnx.data"]


def test_folder_of_versions_gives_the_highest_with_what_lies_beside(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"README.md": b"of all", "9/model.onnx": b"bad", "10/model.onnx": PLAIN, "config.pbtxt": b""},
    )
    folder = read_folder(tmp_path)
    assert folder.version == 10
    assert folder.files["model.onnx"] == tmp_path / "10" / "model.onnx"
    assert list(folder.files) == ["README.md", "config.pbtxt", "model.onnx"]


def test_folder_of_versions_gives_the_one_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"1/model.onnx": PLAIN, "1/README.md": b"own", "2/model.onnx": b"bad", "README.md": b""})
    folder = read_folder(tmp_path, version=1)
    assert folder.card == "own"
    with pytest.raises(PipelineError, match="no version 3: expected one of 1, 2"):
        read_folder(tmp_path, version=3)


def test_exclude_leaves_files_out(tmp_path: Path) -> None:
    folder = read_folder(write(tmp_path, FILES), exclude=["*.csv", "tokenizer/*"])
    assert folder.left_out == {"rows.csv": "excluded", "tokenizer/tokenizer.json": "excluded"}


def mlmodel(**onnx: object) -> bytes:
    return yaml.safe_dump({"flavors": {"onnx": onnx, "python_function": {}}}).encode()


@pytest.mark.parametrize(("data", "model"), [("net.onnx", "net.onnx"), ("net", "net/model.onnx")])
def test_folder_of_mlflow_names_its_model(tmp_path: Path, data: str, model: str) -> None:
    files = {"MLmodel": mlmodel(data=data), model: PLAIN, "model.onnx": b"bad", "requirements.txt": b"onnx"}
    folder = read_folder(write(tmp_path, files))
    assert folder.model == model


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds 0 models: expected model.onnx .'modelservice model convert' makes one"),
        ({"a.onnx": PLAIN, "b.onnx": PLAIN}, r"holds 2 models \(a.onnx, b.onnx\)"),
        ({"model.onnx": b"pickle"}, "is not an ONNX model"),
        ({"model.onnx": b""}, "is not an ONNX model"),
        ({"model.onnx": NAMED}, "keeps weights in model.onnx.data, which is not there"),
        ({"MLmodel": mlmodel(data=1)}, r"flavors\.onnx\.data"),
        ({"MLmodel": b"flavors: {sklearn: {}}", "model.pkl": b""}, "has the flavors sklearn and not onnx"),
        ({"MLmodel": b"- 1", "model.onnx": PLAIN}, "expected a YAML mapping"),
        ({"model.onnx": PLAIN, "a\nb": b""}, "cannot be a path in an artifact"),
        ({"model.onnx": PLAIN, "a\\b": b""}, "cannot be a path in an artifact"),
        ({"model.onnx": PLAIN} | {f"{number}.txt": b"" for number in range(200)}, "at most 200 fit"),
    ],
)
def test_folder_that_cannot_be_packaged_says_why(
    tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    with pytest.raises(PipelineError, match=sentence):
        read_folder(write(tmp_path, files))


def test_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        read_folder(tmp_path / "none")


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_bytes(b"private")
    folder = write(tmp_path / "model", FILES)
    (folder / "vocab.txt").symlink_to(secret)
    with pytest.raises(PipelineError, match="is a link out of"):
        read_folder(folder)


def test_link_within_the_folder_is_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", FILES)
    (folder / "vocab.txt").symlink_to("config.json")
    assert "vocab.txt" in read_folder(folder).files


@pytest.mark.parametrize(
    ("paths", "models"),
    [
        (["b/model.onnx", "a.onnx"], ["a.onnx"]),
        (["x/a.onnx", "x/model.onnx"], ["x/model.onnx"]),
        (["a.onnx", "b.onnx"], ["a.onnx", "b.onnx"]),
        (["model.onnx.age"], ["model.onnx.age"]),
        (["model.onnx.age", "a.onnx"], ["a.onnx"]),
        (["README.md"], []),
    ],
)
def test_find_models_chooses_as_the_fetcher_does(paths: list[str], models: list[str]) -> None:
    assert find_models(paths) == models


@given(st.text(alphabet=st.sampled_from("ab./\\\n\x00é"), max_size=12))
def test_clean_path_never_leads_out(path: str) -> None:
    try:
        cleaned = clean_path(path)
    except PipelineError:
        return
    inside = Path("/folder", cleaned)
    assert inside.resolve().is_relative_to("/folder/")
    assert inside != Path("/folder")
    assert clean_path(cleaned) == cleaned
