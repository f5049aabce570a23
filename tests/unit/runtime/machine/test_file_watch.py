"""Keys that are replaced while the server runs."""

import asyncio
import logging
import os
from pathlib import Path

import pytest
from tests.unit.runtime.auth.signed_tokens import ALL_KEYS, AUDIENCE, ISSUER, sign

from modelservice_runtime.auth.api_keys import api_key_line, new_api_key
from modelservice_runtime.auth.guard import Guard
from modelservice_runtime.auth.loading import load_guard
from modelservice_runtime.errors import InvalidSettingsError, UnauthenticatedError
from modelservice_runtime.machine import file_watch
from modelservice_runtime.machine.file_watch import FilePoller, WatchedFiles, read_settings_file
from modelservice_runtime.settings.security import JwtSettings, SecuritySettings
from modelservice_runtime.transport.client import UNKNOWN_CLIENT

OLD, NEW = new_api_key(), new_api_key()


def accepts(guard: Guard | None, key: str, header: bytes = b"x-api-key") -> bool:
    assert guard is not None
    try:
        scheme = b"" if header == b"x-api-key" else b"Bearer "
        guard.check({header: scheme + key.encode()}, UNKNOWN_CLIENT)
    except UnauthenticatedError:
        return False
    return True


def publish(directory: Path, generation: str, key: str) -> None:
    """Write the key file as the kubelet does: a new directory, and a symbolic link that is swapped."""
    (directory / generation).mkdir()
    (directory / generation / "keys").write_text(api_key_line("alice", key))
    (directory / "..tmp").symlink_to(generation)
    (directory / "..tmp").rename(directory / "..data")
    if not (directory / "keys").is_symlink():
        (directory / "keys").symlink_to(Path("..data", "keys"))


def test_keys_follow_a_swapped_symbolic_link(tmp_path: Path) -> None:
    publish(tmp_path, "first", OLD)
    loaded = load_guard(SecuritySettings(api_key_file=tmp_path / "keys"))
    assert (accepts(loaded.guard, OLD), accepts(loaded.guard, NEW)) == (True, False)
    publish(tmp_path, "second", NEW)
    loaded.files[0].poll()
    assert (accepts(loaded.guard, OLD), accepts(loaded.guard, NEW)) == (False, True)


@pytest.mark.parametrize("content", [None, b"nonsense", b"\xff\xfe"])
def test_file_that_cannot_be_used_leaves_the_old_keys_and_is_logged_once(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(api_key_line("alice", OLD))
    loaded = load_guard(SecuritySettings(api_key_file=file))
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    for _ in range(3):
        loaded.files[0].poll()
    assert accepts(loaded.guard, OLD)
    assert loaded.files[0].is_refused
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    file.write_text(api_key_line("alice", NEW))
    loaded.files[0].poll()
    assert accepts(loaded.guard, NEW)
    assert not loaded.files[0].is_refused


@pytest.mark.parametrize("content", [b"", b"\n", b"# alice left\n"])
def test_file_without_any_key_lets_nobody_in(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(api_key_line("alice", OLD))
    loaded = load_guard(SecuritySettings(api_key_file=file))
    assert accepts(loaded.guard, OLD)

    file.write_bytes(content)
    loaded.files[0].poll()

    assert not accepts(loaded.guard, OLD)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    file.write_text(api_key_line("alice", NEW))
    loaded.files[0].poll()
    assert accepts(loaded.guard, NEW)


def test_key_set_without_any_key_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "jwks"
    file.write_bytes(ALL_KEYS)
    loaded = load_guard(SecuritySettings(jwt=JwtSettings(file, ISSUER, AUDIENCE)))
    token = sign().decode()
    assert accepts(loaded.guard, token, b"authorization")

    file.write_bytes(b'{"keys": []}')
    loaded.files[0].poll()

    assert not accepts(loaded.guard, token, b"authorization")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_start_with_an_unusable_file_fails(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettingsError):
        load_guard(SecuritySettings(api_key_file=file))
    with pytest.raises(InvalidSettingsError):
        load_guard(SecuritySettings(jwt=JwtSettings(file, "issuer", "audience")))


def test_start_without_any_key_says_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("# nobody yet\n")
    with pytest.raises(InvalidSettingsError, match=r"--api-key-file holds no key; make one with"):
        load_guard(SecuritySettings(api_key_file=file))
    file.write_text('{"keys": []}')
    with pytest.raises(InvalidSettingsError, match=r"--jwt-jwks-file holds no public key"):
        load_guard(SecuritySettings(jwt=JwtSettings(file, "issuer", "audience")))


def test_read_of_a_large_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as written:
        written.truncate(1 << 40)
    with pytest.raises(InvalidSettingsError, match=r"--flag: .* larger than"):
        read_settings_file(file, "--flag")


def test_read_of_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "pipe", tmp_path / "loop", tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidSettingsError, match="--flag: "):
            read_settings_file(path, "--flag")


async def test_poller_looks_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(file_watch, "_INTERVAL_SECONDS", 0.001)
    file = tmp_path / "file"
    file.write_text("1")
    seen: list[str] = []
    changed = asyncio.Event()

    def load() -> None:
        seen.append(file.read_text())
        changed.set()
        if seen[-1] == "bad":
            raise InvalidSettingsError("it is bad")

    told: list[dict[str, bool]] = []
    poller = FilePoller([WatchedFiles("keys", [file], load)], asyncio.get_running_loop(), told.append)
    for text in ("22", "bad", "333"):
        changed.clear()
        file.write_text(text)
        await asyncio.wait_for(changed.wait(), 120)
    poller.stop()
    assert seen[0] == "1"
    assert seen[-1] == "333"
    assert "a file changed and was loaded again" in caplog.messages
    assert told == [{"keys": True}, {"keys": False}]
