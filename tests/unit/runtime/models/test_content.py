"""Digests of what was loaded, and no digest where a file changed meanwhile."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from modelservice_runtime.models.content import LoadedFiles, ModelContent


def loaded(file: Path, *external: str) -> LoadedFiles:
    files = LoadedFiles(file)
    files.add_external(external, file.parent)
    return files


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    return file


def test_content_of_one_file_is_its_digest(model: Path) -> None:
    assert loaded(model).read() == ModelContent(sha256(b"graph"), None, 5)


def test_content_of_external_data_is_the_digest_of_what_sha256sum_prints(model: Path) -> None:
    for name in ("weights.2", "weights.1"):
        (model.parent / name).write_bytes(name.encode())
    printed = subprocess.run(
        ["sha256sum", "weights.1", "weights.2"], cwd=model.parent, capture_output=True, check=True
    ).stdout
    assert loaded(model, "weights.2", "weights.1").read() == ModelContent(
        sha256(b"graph"), sha256(printed), 23
    )


def test_whatever_else_was_read_counts_under_its_name(model: Path) -> None:
    """In the order of names, wherever it lies; what is not there has no line."""
    for name in ("weights", "a.json"):
        (model.parent / name).write_bytes(name.encode())
    (model.parent / "elsewhere").mkdir()
    adapter = model.parent / "elsewhere" / "x.onnx_adapter"
    adapter.write_bytes(b"lora")
    files = loaded(model, "weights")
    files.add_further({"law": adapter, "a.json": model.parent / "a.json", "b.json": model.parent / "b.json"})
    lines = [("a.json", b"a.json"), ("law", b"lora"), ("weights", b"weights")]
    listed = "".join(f"{sha256(content)}  {name}\n" for name, content in lines)
    assert files.read() == ModelContent(sha256(b"graph"), sha256(listed.encode()), 5 + 6 + 4 + 7)


def replace(file: Path) -> None:
    """As a volume of a ConfigMap does, and every careful copy."""
    other = file.with_name("other")
    other.write_bytes(b"other")
    other.rename(file)


def overwrite(file: Path) -> None:
    before = file.stat().st_mtime_ns
    file.write_bytes(b"other")
    os.utime(
        file, ns=(before + 1, before + 1)
    )  # the file system's clock may be as coarse as this test is fast


@pytest.mark.parametrize("change", [replace, overwrite, Path.unlink])
def test_content_that_changed_while_it_was_loaded_is_unknown(change, model: Path) -> None:
    files = LoadedFiles(model)
    change(model)
    files.add_external((), model.parent)
    assert files.read().sha256 is None


def test_content_that_was_replaced_later_is_what_was_loaded(model: Path) -> None:
    files = loaded(model)
    replace(model)
    assert files.read().sha256 == sha256(b"graph")


def test_content_that_was_overwritten_later_is_unknown(model: Path) -> None:
    files = loaded(model)
    overwrite(model)
    assert files.read().sha256 is None


def test_content_whose_external_data_changed_is_unknown(model: Path) -> None:
    (model.parent / "weights").write_bytes(b"weights")
    files = loaded(model, "weights")
    overwrite(model.parent / "weights")
    content = files.read()
    assert (content.sha256, content.external_data_sha256) == (None, None)
