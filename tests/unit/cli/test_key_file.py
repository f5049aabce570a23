"""Key files that somebody else reads, and that two people write at once."""

import os
import stat
import threading
from pathlib import Path

import pytest

from modelservice_cli.api_key.key_file import KeyFile
from modelservice_cli.errors import CommandError

OTHER = 65532


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_edit_keeps_who_may_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    path.write_text("# old\n")
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, OTHER, OTHER)
    before = path.stat()

    KeyFile(path).edit(lambda _: "# new\n")

    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert path.read_text() == "# new\n"
    assert [found.name for found in tmp_path.iterdir()] == ["keys"]


def test_edit_of_a_link_leaves_it_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "keys", tmp_path / "keys"
    real.write_text("# old\n")
    link.symlink_to(real)

    KeyFile(link).edit(lambda _: "# new\n")

    assert link.is_symlink()
    assert real.read_text() == "# new\n"


def test_edit_asks_again_where_somebody_wrote_in_between(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("stolen\n")

    def add(text: str | None) -> str:
        if text == "stolen\n":
            KeyFile(path).edit(lambda _: "")
        return f"{text}bob\n"

    KeyFile(path).edit(add)

    assert path.read_text() == "bob\n"


def test_edits_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"

    def add(name: int) -> None:
        for number in range(10):
            KeyFile(path).edit(lambda text, line=f"{name}-{number}\n": (text or "") + line)  # type: ignore[misc]

    threads = [threading.Thread(target=add, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(path.read_text().splitlines())) == 40


def test_edit_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.mkdir()
    with pytest.raises(CommandError):
        KeyFile(path).edit(lambda _: "")
    assert list(tmp_path.iterdir()) == [path]
