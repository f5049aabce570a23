"""Archives that make much work of few bytes."""

import gzip
import tarfile

import pytest

from modelservice_runtime.fetch.errors import FetchError, FetchReason
from modelservice_runtime.fetch.files import unpacking
from modelservice_runtime.fetch.files.destination import Destination
from modelservice_runtime.fetch.files.unpacking import Selection, Unpacker
from modelservice_runtime.fetch.limits import Budget

MIB = 1024 * 1024


@pytest.fixture
def unpacker(tmp_path):
    with (
        Destination(tmp_path) as destination,
        Unpacker(destination, Budget(100 * MIB), 0, Selection(), "layer") as unpacker,
    ):
        yield unpacker


def make_entries(count: int, name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info.tobuf(tarfile.USTAR_FORMAT) * count


def test_unpacker_takes_a_bomb_in_short_steps(unpacker):
    bomb = gzip.compress(make_entries(8 * MIB // 512, "file"))
    assert len(bomb) < 64 * 1024
    assert sum(1 for _ in unpacker.write_in_steps(bomb)) >= 8 * MIB // (64 * 1024)
    assert unpacker.finish().size_bytes == 8 * MIB


@pytest.mark.parametrize(
    ("name", "kind"),
    [("file", tarfile.REGTYPE), ("folder", tarfile.DIRTYPE), (".wh.file", tarfile.REGTYPE)],
    ids=["file", "folder", "removed"],
)
def test_unpacker_bounds_entries_of_every_kind(unpacker, monkeypatch, name, kind):
    monkeypatch.setattr(unpacking, "_MAX_MEMBERS", 10)
    list(unpacker.write_in_steps(make_entries(10, name, kind)))
    with pytest.raises(FetchError, match="more than 10 entries") as caught:
        list(unpacker.write_in_steps(make_entries(1, name, kind)))
    assert caught.value.reason is FetchReason.ARCHIVE_REFUSED
