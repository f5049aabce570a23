"""Models whose files are links, as caches, volumes and careful copies have them; and links that mislead."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.unit.runtime import onnx_models

from modelservice_runtime.errors import ModelLoadFailedError, ModelRejectedError, StartupError
from modelservice_runtime.onnx import model as onnx_model
from modelservice_runtime.onnx.graph.files import find_model_files
from modelservice_runtime.onnx.model import OnnxModel, load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

DATA = "weights/w.bin"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder with model.onnx and its external data: y = x @ w, where w is all ones."""
    folder = tmp_path / "plain"
    (folder / "weights").mkdir(parents=True)
    path = onnx_models.save(
        folder / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [onnx_models.value("x", "FP32", ["n", 2])],
        [onnx_models.value("y", "FP32", ["n", 300])],
        {"w": np.ones((2, 300), np.float32)},
    )
    onnx.save(onnx.load(path), path, save_as_external_data=True, location=DATA, size_threshold=0)
    return folder


def load(path: Path) -> OnnxModel:
    return load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))


def link(at: Path, to: str) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(to)


def hugging_face(plain: Path, root: Path) -> Path:
    """Every file of a snapshot is a link to a blob, which is called by its digest."""
    (root / "blobs").mkdir(parents=True)
    shutil.copy(plain / "model.onnx", root / "blobs" / "aaa")
    shutil.copy(plain / DATA, root / "blobs" / "bbb")
    snapshot = root / "snapshots" / "rev" / "onnx"
    link(snapshot / "model.onnx", "../../../blobs/aaa")
    link(snapshot / DATA, "../../../../blobs/bbb")
    return snapshot / "model.onnx"


def hugging_face_with_absolute_links(plain: Path, root: Path) -> Path:
    path = hugging_face(plain, root)
    for file in (path, path.parent / DATA):
        target = file.resolve()
        file.unlink()
        file.symlink_to(target)
    return path


def config_map(plain: Path, root: Path) -> Path:
    """Kubernetes swaps `..data` when the content changes."""
    root.mkdir()
    shutil.copytree(plain, root / "..2026_11_29")
    link(root / "..data", "..2026_11_29")
    link(root / "model.onnx", "..data/model.onnx")
    link(root / "weights", "..data/weights")
    return root


def hard_links(plain: Path, root: Path) -> Path:
    shutil.copytree(plain, root, copy_function=os.link)
    return root


def linked_folder(plain: Path, root: Path) -> Path:
    shutil.copytree(plain, root / "releases" / "5")
    link(root / "current", "releases/5")
    return root / "current"


def linked_model(plain: Path, root: Path) -> Path:
    """The data lies beside the file that is linked to, and there alone."""
    shutil.copytree(plain, root / "real")
    link(root / "front" / "model.onnx", "../real/model.onnx")
    return root / "front" / "model.onnx"


def links_within(plain: Path, root: Path) -> Path:
    shutil.copytree(plain, root)
    (root / DATA).rename(root / "elsewhere")
    link(root / DATA, "../elsewhere")
    return root / "model.onnx"


LAYOUTS = [
    hugging_face, hugging_face_with_absolute_links, config_map, hard_links, linked_folder, linked_model,
    links_within,
]  # fmt: skip


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_model_behind_links_is_loaded(
    plain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: Callable[[Path, Path], Path],
    relative: bool,
) -> None:
    path = layout(plain, tmp_path / "root")
    if relative:
        monkeypatch.chdir(path.parent)
        path = Path(path.name)
    model = load(path)
    assert model.run({"x": np.ones((1, 2), np.float32)}, ("y",))[0].tolist() == [[2.0] * 300]
    assert [file.stat().st_size for file in model.files.external] == [(plain / DATA).stat().st_size]


def outside_file(plain: Path, root: Path) -> None:
    (root / "secret").write_bytes((plain / DATA).read_bytes())
    link(root / "model" / DATA, str(root / "secret"))


def outside_folder(plain: Path, root: Path) -> None:
    shutil.copytree(plain / "weights", root / "weights")
    link(root / "model" / "weights", "../weights")


def chain_of_links(plain: Path, root: Path) -> None:
    outside_file(plain, root)
    (root / "model" / DATA).rename(root / "model" / "first")
    link(root / "model" / DATA, "../first")


def folder_of_a_similar_name(plain: Path, root: Path) -> None:
    shutil.copytree(plain / "weights", root / "model-other")
    link(root / "model" / DATA, "../../model-other/w.bin")


def blob_where_the_model_is_none(plain: Path, root: Path) -> None:
    (root / "blobs").mkdir()
    shutil.copy(plain / DATA, root / "blobs" / "bbb")
    link(root / "model" / DATA, "../../blobs/bbb")


def device(_plain: Path, root: Path) -> None:
    link(root / "model" / DATA, "/dev/zero")


def process_memory(_plain: Path, root: Path) -> None:
    link(root / "model" / DATA, "/proc/self/mem")


MISLEADING = [
    outside_file, outside_folder, chain_of_links, folder_of_a_similar_name, blob_where_the_model_is_none,
    device, process_memory,
]  # fmt: skip


@pytest.mark.parametrize("layout", MISLEADING)
def test_link_that_leads_outside_is_refused(
    plain: Path, tmp_path: Path, layout: Callable[[Path, Path], None]
) -> None:
    root = tmp_path / "root"
    (root / "model").mkdir(parents=True)
    shutil.copy(plain / "model.onnx", root / "model")
    layout(plain, root)
    with pytest.raises(ModelRejectedError, match=r"'weights/w\.bin' is a link that leads outside"):
        load(root / "model")


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_external_data_that_is_no_regular_file_is_refused(plain: Path, kind: str) -> None:
    file = plain / DATA
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        os.mknod(file, 0o140644)
    with pytest.raises(ModelRejectedError, match="must be a regular file"):
        find_model_files(plain / "model.onnx", [DATA])


@pytest.mark.parametrize("to", ["nothing", "w.bin", "../weights/w.bin"])
def test_link_to_nothing_or_to_itself_is_a_missing_file(plain: Path, to: str) -> None:
    (plain / DATA).unlink()
    link(plain / DATA, to)
    with pytest.raises(ModelLoadFailedError, match=r"'weights/w\.bin' is missing"):
        load(plain)


def swap_data(plain: Path) -> None:
    other = plain / "other"
    other.write_bytes(bytes((plain / DATA).stat().st_size))
    other.rename(plain / DATA)


def swap_link(plain: Path) -> None:
    shutil.copy(plain / DATA, plain.parent / "secret")
    (plain / DATA).unlink()
    link(plain / DATA, str(plain.parent / "secret"))


def swap_model(plain: Path) -> None:
    shutil.copy(plain / "model.onnx", plain / "other")
    (plain / "other").rename(plain / "model.onnx")


@pytest.mark.parametrize("swap", [swap_data, swap_link, swap_model, shutil.rmtree])
def test_file_that_is_swapped_between_check_and_load_is_noticed(
    plain: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path], None]
) -> None:
    create, describe = onnx_model.create_session, onnx_model.describe_session

    def swap_first(*arguments: object) -> object:
        if swap is not shutil.rmtree:
            swap(plain)
        return create(*arguments)  # type: ignore[arg-type]

    def swap_later(*arguments: object) -> object:
        if swap is shutil.rmtree:
            swap(plain)
        return describe(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_model, "create_session", swap_first)
    monkeypatch.setattr(onnx_model, "describe_session", swap_later)
    with pytest.raises(StartupError, match=r"changed while they were loaded|escapes model directory"):
        load(plain)
