"""A model that is there and may not be read: told as that, with who and whose. As a user that is not root."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelservice_runtime.errors import AccessDeniedError, ModelRejectedError
from modelservice_runtime.machine.readable import check_readable, open_file

USER = 65532
PROGRAM = """
import json, os, sys
from pathlib import Path
from modelservice_runtime.errors import StartupError
from modelservice_runtime.fetch.errors import FetchError
from modelservice_runtime.fetch.files.local import verify_file
from modelservice_runtime.fetch.uri import FileUri
from modelservice_runtime.models.versions import find_versions
from modelservice_runtime.settings.models import VersionPolicy
from modelservice_runtime.onnx.model import load_onnx_model
from modelservice_runtime.settings.sessions import SessionSettings

def attempt(action):
    try:
        action()
    except (StartupError, FetchError) as error:
        return [str(error.reason), getattr(error, "sentence", "") or error.message]

path = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(65532)
    os.seteuid(65532)
print(json.dumps({
    "find": attempt(lambda: find_versions("m", path, "1", VersionPolicy.LATEST)),
    "load": attempt(lambda: load_onnx_model(path, "m", "1", SessionSettings(("CPU",), 1))),
    "verify": attempt(lambda: verify_file(FileUri(str(path)), None, None)),
}))
"""


@pytest.fixture
def volume() -> Iterator[Path]:
    """A directory that everybody reaches, as a volume is mounted."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def as_another_user(path: Path) -> dict[str, list[str] | None]:
    """What each way to read a model says where the process is not root."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], check=False, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    found: dict[str, list[str] | None] = json.loads(done.stdout)
    return found


def test_file_that_may_not_be_read_is_access_denied_and_says_whose_it_is(volume: Path) -> None:
    model = volume / "model.onnx"
    model.write_bytes(b"x")
    model.chmod(0o040)

    said = as_another_user(model)

    assert said["find"] is None
    for way in ("load", "verify"):
        reason, sentence = said[way] or ["", ""]
        assert reason == "AccessDenied"
        assert f"belongs to user {os.geteuid()}, group {model.stat().st_gid}, mode 0040" in sentence
        assert "may not read" in sentence
        if os.geteuid() == 0:
            assert f"user {USER} (groups {USER})" in sentence
            assert f"spec.model.supplementalGroups: [{model.stat().st_gid}]" in sentence


@pytest.mark.parametrize("mode", [0o000, 0o300])
def test_directory_that_may_not_be_read_is_access_denied_not_empty(volume: Path, mode: int) -> None:
    folder = volume / "models"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"x")
    folder.chmod(mode)
    try:
        said = as_another_user(folder)
        inside = as_another_user(folder / "model.onnx")
    finally:
        folder.chmod(0o700)

    assert (said["find"] or [""])[0] == "AccessDenied"
    assert (said["load"] or [""])[0] == "AccessDenied"
    if mode == 0:
        reason, sentence = inside["load"] or ["", ""]
        assert reason == "AccessDenied"
        assert repr(str(folder)) in sentence


def test_check_readable_of_nothing_is_left_to_others(tmp_path: Path) -> None:
    check_readable(tmp_path / "nothing")
    check_readable(tmp_path)


def test_access_denied_is_a_reason_of_its_own() -> None:
    assert str(AccessDeniedError("no")) == "AccessDenied: no"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """In a thread that may be left behind: whoever opened the pipe would wait for ever."""
    found: list[str] = []
    with socket.socket(socket.AF_UNIX) as listening:
        os.mkfifo(tmp_path / "pipe")
        listening.bind(str(tmp_path / "socket"))
        (tmp_path / "directory").mkdir()
        (tmp_path / "device").symlink_to("/dev/zero")

        def look() -> None:
            for kind in ("pipe", "socket", "directory", "device"):
                try:
                    open_file(tmp_path / kind).close()
                except ModelRejectedError as error:
                    found.append(error.sentence)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(60)
    kinds = ("pipe", "socket", "directory", "device")
    assert [sentence.partition(",")[0] for sentence in found] == [f"'{kind}' is a {kind}" for kind in kinds]
    (tmp_path / "file").write_bytes(b"x")
    with open_file(tmp_path / "file") as opened:
        assert opened.read() == b"x"
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nothing")
