"""The files in layers, whatever wrote them."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from tests.integration.fetch.fetch_models import make_tar
from tests.unit.pipeline.package.folders import read

from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.oci.content import TITLE, Blob, Content, blob_of_bytes, build_content
from modelservice_pipeline.package.summary import summarise
from modelservice_pipeline.package.unpack import unpack

TAR, GZIP = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"


def layer(data: bytes, media_type: str = TAR, title: str | None = None) -> Blob:
    blob = blob_of_bytes(media_type, data)
    annotations = {TITLE: title} if title else {}
    return Blob(media_type, blob.digest, blob.size_bytes, blob.open, annotations)


def content(*layers: Blob) -> Content:
    config = blob_of_bytes("application/vnd.oci.empty.v1+json", b"{}")
    manifest = {"config": config.descriptor(), "layers": [one.descriptor() for one in layers]}
    return build_content([(manifest, (config, *layers))])


def test_unpack_higher_layers_replace_and_remove(tmp_path: Path) -> None:
    low = make_tar({"a": b"1", "b": b"2", "c/d": b"3", "e/f": b"4", "e/g": b"5"}, "gz")
    high = make_tar({"a": b"9", ".wh.b": b"", "c/.wh..wh..opq": b"", "c/h": b"6", "e/.wh.f": b""})
    unpack(content(layer(low, GZIP), layer(high)), tmp_path / "out")
    assert read(tmp_path / "out") == {"a": b"9", "c/h": b"6", "e/g": b"5"}


def test_unpack_raw_archives_stay_what_they_are(tmp_path: Path) -> None:
    archive, zipped = make_tar({"a": b"1"}), gzip.compress(b"text")
    raw = "application/vnd.cncf.model.weight.config.v1.raw"
    unpack(content(layer(archive, raw, "a.tar"), layer(zipped, raw, "b.gz")), tmp_path / "out")
    assert read(tmp_path / "out") == {"a.tar": archive, "b.gz": zipped}


def test_unpack_plain_file_that_oras_calls_an_archive(tmp_path: Path) -> None:
    unpack(content(layer(b"model", TAR, "model.onnx")), tmp_path / "out")
    assert read(tmp_path / "out") == {"model.onnx": b"model"}


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_unpack_archive_that_leads_outside_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="cannot be a path"):
        unpack(content(layer(make_tar({"a": b"1", name: b"evil"}))), tmp_path / "in" / "out")
    assert read(tmp_path) == {}


def test_unpack_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        member = tarfile.TarInfo("out/evil")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    unpack(content(layer(stream.getvalue())), tmp_path / "folder")
    assert read(tmp_path) == {"folder/out/evil": b"x"}


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_unpack_tells_what_it_leaves_out_and_fails_where_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: bytes
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("odd")
        member.type, member.linkname = kind, "a" if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
        archive.addfile(member)
    with pytest.raises(PipelineError, match="holds no files"):
        unpack(content(layer(stream.getvalue())), tmp_path / "out")
    assert "left out: odd" in capsys.readouterr().err
    unpack(content(layer(make_tar({"a": b"1"})), layer(stream.getvalue())), tmp_path / "out")
    assert read(tmp_path) == {"out/a": b"1"}


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([layer(b"\x28\xb5\x2f\xfd....")], "zstd"),
        ([layer(b"one"), layer(b"two")], "without a name"),
        ([layer(make_tar({"a": b"1" * 5000}, "gz")[:60], GZIP)], "damaged archive"),
        ([layer(b"x", title="a"), layer(b"y", title="a/b")], "cannot write"),
        ([layer(b"x", title="a"), layer(b"y", title="./a")], "two layers of the artifact are the file a"),
        ([layer(b"x", title="/".join(["d"] * 2000))], "cannot be a path"),
        ([layer(make_tar({"/".join(["d"] * 2000): b"1"}))], "cannot be a path"),
    ],
)
def test_unpack_what_cannot_be_read_says_why(tmp_path: Path, layers: list[Blob], sentence: str) -> None:
    with pytest.raises(PipelineError, match=sentence):
        unpack(content(*layers), tmp_path / "out")
    assert read(tmp_path) == {}


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"X" + data[1:]]
)
def test_unpack_other_bytes_than_the_digest_says_leave_nothing(tmp_path: Path, change) -> None:
    honest = layer(make_tar({"a": b"1" * 9000}))
    liar = Blob(
        honest.media_type, honest.digest, honest.size_bytes, lambda: iter((change(next(honest.open())),))
    )
    with pytest.raises(PipelineError):
        unpack(content(liar), tmp_path / "out")
    assert read(tmp_path) == {}


def test_unpack_never_writes_into_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(PipelineError, match="not empty"):
        unpack(content(layer(b"model", TAR, "model.onnx")), tmp_path)
    (tmp_path / "empty").mkdir()
    unpack(content(layer(b"model", TAR, "model.onnx")), tmp_path / "empty")
    assert read(tmp_path / "empty") == {"model.onnx": b"model"}


def test_inspect_refuses_two_layers_that_are_one_file() -> None:
    with pytest.raises(PipelineError, match=r"two layers of the artifact are the file model\.onnx"):
        summarise(content(layer(b"x", title="model.onnx"), layer(b"y", title="model.onnx")))
