"""Completion in shells that a machine may lack, asked of the shells themselves."""

import subprocess
from pathlib import Path

import pytest
from hack.cluster.packages import ensure_packages

from modelservice_cli.commands import run


@pytest.fixture(scope="module", autouse=True)
def shells() -> None:
    ensure_packages({"zsh": "zsh", "fish": "fish"})


@pytest.fixture
def script(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    """What `modelservice completion SHELL` prints."""
    assert run(["completion", shell]) == 0
    path = tmp_path / shell
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


@pytest.mark.parametrize("shell", ["fish"])
@pytest.mark.parametrize(
    ("words", "completed"),
    [("ro", {"rollout"}), ("rollout p", {"promote", "pause"})],
    ids=["command", "verb"],
)
def test_fish_completes_commands(script: Path, words: str, completed: set[str]) -> None:
    command = ["fish", "--no-config", "-c", f"source {script}; complete -C 'modelservice {words}'"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == completed


@pytest.mark.parametrize("shell", ["zsh"])
def test_zsh_finds_the_function_that_completes(script: Path) -> None:
    # As its manual says: a file of the function's name, in a folder of $fpath.
    function = script.rename(script.with_name("_modelservice"))
    setup = f"fpath=({function.parent} $fpath); autoload -U compinit; compinit -D -u"
    command = ["zsh", "-f", "-c", f"{setup}; print $_comps[modelservice]; autoload +X _modelservice"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (result.stdout.strip(), result.stderr) == ("_modelservice", "")
