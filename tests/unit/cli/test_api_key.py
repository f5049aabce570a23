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
    assert parse_api_keys(match[2]).find(match[1].encode()) == "alice"


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
    assert [accepted.find(key.encode()) for key in keys] == ["alice", "bob"]
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


def test_revoke_takes_one_line_away_and_list_shows_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\n")
    for name in ("alice", "al", "bob"):
        assert main(["api-key", "new", name, "--file", str(file)]) == 0
    before = file.read_text()
    capsys.readouterr()

    assert main(["api-key", "revoke", "al", "--file", str(file)]) == 0
    assert main(["api-key", "list", "--file", str(file)]) == 0

    captured = capsys.readouterr()
    kept = [line for line in before.splitlines() if not line.startswith("al:")]
    assert file.read_text().splitlines() == kept
    assert [line.split()[0] for line in captured.out.splitlines()] == ["alice", "bob"]
    assert captured.err == ""
    digests = [line.rpartition(":")[2] for line in kept[1:]]
    assert not any(digest in captured.out for digest in digests)


def test_revoke_of_the_last_key_says_what_that_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    main(["api-key", "new", "alice", "--file", str(file)])
    assert main(["api-key", "revoke", "alice", "--file", str(file)]) == 0
    assert file.read_text() == ""
    assert "no key is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["list"], 2, "--file --secret is required"),
        (["revoke", "bob"], 2, "--file --secret is required"),
        (["list", "--file", "a", "--secret", "b"], 2, "not allowed with"),
        (["list", "--file", "{directory}/absent"], 1, "has no keys"),
        (["revoke", "bob", "--file", "{directory}/used"], 1, "no key of 'bob'; it has alice"),
        (["revoke", "bob", "--file", "{directory}/broken"], 1, "line 1"),
        (["new", "bob", "--secret", "keys", "--kubeconfig", "{directory}/absent"], 1, "no kubeconfig at"),
    ],
)
def test_verb_that_cannot_go_on_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, part: str
) -> None:
    (tmp_path / "used").write_text(f"alice:sha256:{'0' * 64}\n")
    (tmp_path / "broken").write_text("ms_a-key-by-mistake\n")
    assert main(["api-key", *(text.format(directory=tmp_path) for text in arguments)]) == code
    captured = capsys.readouterr()
    assert part in captured.err.replace("\n", " ")
    assert "by-mistake" not in captured.err
