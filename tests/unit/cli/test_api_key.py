import re
import stat
from pathlib import Path

import pytest

from modelservice_cli.main import main
from modelservice_runtime.auth.api_keys import parse_api_keys


def test_new_prints_a_key_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-key", "new", "alice"]) == 0
    match = re.fullmatch(r"key:  (\S+)\nline: (\S+)\n", capsys.readouterr().out)
    assert match is not None
    assert parse_api_keys(match[2]).accept(match[1].encode())


def test_new_appends_to_a_file_that_only_its_owner_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    keys = []
    for name in ("alice", "bob"):
        assert main(["api-key", "new", name, "--file", str(file)]) == 0
        keys.append(capsys.readouterr().out.strip())
    accepted = parse_api_keys(file.read_text())
    assert list(accepted.digests) == ["alice", "bob"]
    assert all(accepted.accept(key.encode()) for key in keys)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["new", "a b"], 2, "name"),
        (["new"], 2, "NAME"),
        ([], 2, "COMMAND"),
        (["new", "alice", "--file", "{directory}/used"], 1, "alice"),
        (["new", "alice", "--file", "{directory}/absent/keys"], 1, "No such file"),
        (["new", "alice", "--file", "{directory}"], 1, "directory"),
    ],
)
def test_new_with_wrong_arguments_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, part: str
) -> None:
    (tmp_path / "used").write_text(f"alice:sha256:{'0' * 64}\n")
    assert main(["api-key", *(text.format(directory=tmp_path) for text in arguments)]) == code
    captured = capsys.readouterr()
    assert part in captured.err
    assert captured.out == ""
