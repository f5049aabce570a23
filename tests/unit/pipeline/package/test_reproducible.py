"""The same files give the same bytes: twice, with other times, modes and languages, from another place."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.unit.pipeline.package.folders import FILES, read, write

from modelservice_pipeline.oci.layout import read_layout, write_layout
from modelservice_pipeline.package.opening import Form, pack, read_and_describe
from modelservice_pipeline.package.unpack import unpack

FORMS: tuple[Form, ...] = ("modelpack", "image")


def test_package_on_another_machine_has_the_same_digest(tmp_path: Path) -> None:
    found = read_and_describe(write(tmp_path / "one", FILES))
    here = [pack(*found, form).root.digest for form in FORMS]
    # Written in another order, at another time, with other rights.
    write(tmp_path / "other" / "place", dict(reversed(FILES.items())))
    for path in (tmp_path / "other").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    script = (
        "import sys; from pathlib import Path\n"
        "from modelservice_pipeline.package.opening import pack, read_and_describe\n"
        "for form in sys.argv[2:]: print(pack(*read_and_describe(Path(sys.argv[1])), form).root.digest)\n"
    )
    environment = os.environ | {"LC_ALL": "C", "TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7"}
    answer = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, "-c", script, "other/place", *FORMS],
        check=True, cwd=tmp_path, capture_output=True, text=True,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert answer.stdout.split() == here


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["layout", "layout.tar"])
def test_layout_holds_the_same_and_has_the_same_bytes(tmp_path: Path, form: Form, name: str) -> None:
    content = pack(*read_and_describe(write(tmp_path / "model", FILES)), form)
    for place in ("a", "b"):
        write_layout(content, tmp_path / place / name, "7")
    assert read(tmp_path / "a") == read(tmp_path / "b")
    assert read_layout(tmp_path / "a" / name).root.digest == content.root.digest
    unpack(read_layout(tmp_path / "a" / name), tmp_path / "out")
    root = tmp_path / "out" / ("models/1" if form == "image" else "")
    assert read(root) == FILES


def test_image_layer_is_what_tar_reads(tmp_path: Path) -> None:
    deep = "/".join(["a-folder-with-a-long-name"] * 12) + "/größe.txt"
    content = pack(*read_and_describe(write(tmp_path / "model", FILES | {deep: b"deep"})), "image")
    archive = tmp_path / "layer.tar"
    archive.write_bytes(b"".join(content.layers[0].read()))
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        assert all((member.mtime, member.uid, member.uname) == (0, 0, "") for member in opened)
        assert {member.mode for member in opened if member.isfile()} == {0o644}
    assert names[:2] == ["models", "models/1"]
    assert f"models/1/{deep}" in names
    tar = shutil.which("tar")
    assert tar is not None
    (tmp_path / "out").mkdir()
    subprocess.run([tar, "-xf", archive, "-C", tmp_path / "out"], check=True)
    assert read(tmp_path / "out" / "models/1") == FILES | {deep: b"deep"}


def test_image_is_for_both_platforms_with_one_layer(tmp_path: Path) -> None:
    content = pack(*read_and_describe(write(tmp_path / "model", FILES)), "image")
    manifests = [document.parse() for document in content.manifests]
    assert manifests[0]["layers"] == manifests[1]["layers"]
    platforms = [entry["platform"]["architecture"] for entry in content.root.parse()["manifests"]]
    assert platforms == ["amd64", "arm64"]
