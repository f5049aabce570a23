import hashlib
import os
import stat

import pytest

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files.destination import Destination

DATA = b"\x08\x08onnx" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


def store(directory, data=DATA, name="model.onnx"):
    with Destination(directory) as destination, destination.create_partial(name) as partial:
        partial.write(data)
        return partial.commit()


def test_commit_stores_the_bytes_readable_by_everyone(tmp_path):
    old_mask = os.umask(0o077)
    try:
        stored = store(tmp_path / "new")
    finally:
        os.umask(old_mask)
    path = tmp_path / "new" / "model.onnx"
    assert path.read_bytes() == DATA
    assert (stored.digest.sha256, stored.digest.size_bytes) == (SHA256, len(DATA))
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.stat().st_nlink == 1


def test_partial_file_without_commit_leaves_nothing(tmp_path):
    with Destination(tmp_path) as destination:
        with destination.create_partial("model.onnx") as partial:
            partial.write(DATA)
            assert [path.name for path in tmp_path.iterdir()] != ["model.onnx"]
        assert list(tmp_path.iterdir()) == []


def test_restart_forgets_what_was_written(tmp_path):
    with Destination(tmp_path) as destination, destination.create_partial("model.onnx") as partial:
        partial.write(b"wrong bytes that are longer" * 1000)
        partial.restart()
        partial.write(DATA)
        assert partial.commit().digest.sha256 == SHA256
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_commit_replaces_a_link_and_never_follows_it(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.onnx").symlink_to(victim)
    store(tmp_path / "models")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "models" / "model.onnx").is_symlink()


def test_destination_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FetchError, match="destination") as caught, Destination(tmp_path / "link"):
        pass
    assert caught.value.reason is FetchReason.DOWNLOAD_FAILED


def test_destination_removes_what_a_killed_fetch_left(tmp_path):
    (tmp_path / ".fetch-0123").write_bytes(b"half")
    (tmp_path / "other").write_bytes(b"kept")
    with Destination(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_find_same_digest_is_found(tmp_path):
    store(tmp_path)
    with Destination(tmp_path) as destination:
        found = destination.find("model.onnx", SHA256)
        assert found is not None
        assert found.digest.size_bytes == len(DATA)
        assert destination.find("model.onnx", "0" * 64) is None
        assert destination.find("absent.onnx", SHA256) is None


def test_find_link_or_special_file_is_not_found(tmp_path):
    store(tmp_path, name="real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.link(tmp_path / "real", tmp_path / "hard")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with Destination(tmp_path) as destination:
        for name in ("link", "hard", "fifo", "folder"):
            assert destination.find(name, SHA256) is None


def test_require_space_more_than_the_volume_has_is_disk_full(tmp_path):
    with Destination(tmp_path) as destination:
        destination.require_space(1, "model.onnx")
        with pytest.raises(FetchError) as caught:
            destination.require_space(2**60, "model.onnx")
    assert caught.value.reason is FetchReason.DISK_FULL
