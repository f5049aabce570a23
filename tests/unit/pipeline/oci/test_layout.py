"""Layouts that somebody else wrote, or changed."""

import json
import os
from pathlib import Path

import pytest

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import blob_of_bytes, build_content
from modelservice_pipeline.oci.layout import read_layout, write_layout


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    config, blob = (
        blob_of_bytes("application/vnd.oci.empty.v1+json", b"{}"),
        blob_of_bytes("text/plain", b"x"),
    )
    manifest = {"config": config.descriptor(), "layers": [blob.descriptor()]}
    write_layout(build_content([(manifest, (config, blob))]), tmp_path / "layout", "v1")
    return tmp_path / "layout"


@pytest.mark.parametrize("annotations", [5, "x", [1], None])
def test_annotations_that_are_no_object_are_none(layout: Path, annotations: object) -> None:
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["annotations"] = annotations
    (layout / "index.json").write_text(json.dumps(index))
    assert len(read_layout(layout).layers) == 1
    with pytest.raises(PipelineError, match="expected one"):
        read_layout(layout, "v1")


@pytest.mark.parametrize("manifests", [5, "abc", {}, [5], None])
def test_list_of_manifests_that_is_none_is_told(layout: Path, manifests: object) -> None:
    (layout / "index.json").write_text(json.dumps({"manifests": manifests}))
    with pytest.raises(PipelineError, match="holds 0 artifacts"):
        read_layout(layout)


def test_pipe_in_the_place_of_a_blob_is_told(layout: Path) -> None:
    content = read_layout(layout)
    path = layout / "blobs" / "sha256" / content.layers[0].digest.removeprefix("sha256:")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(PipelineError, match="not a regular file"):
        list(content.layers[0].read())


def test_pipe_in_the_place_of_the_index_is_told(layout: Path) -> None:
    (layout / "index.json").unlink()
    os.mkfifo(layout / "index.json")
    with pytest.raises(PipelineError, match="not a regular file"):
        read_layout(layout)
