"""What bash completes, asked of bash; integration tests ask the other shells."""

import subprocess

import pytest

from modelservice_cli import commands, packages
from modelservice_cli.completion import SHELLS

# As bash does it at a press of Tab: the words so far, and the number of the one under the cursor.
PRESS_TAB = """
source {script}
COMP_WORDS=(modelservice {words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p modelservice | sed -E 's/.* -F ([^ ]+) .*/\\1/') modelservice "${{COMP_WORDS[COMP_CWORD]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def write_script(capsys, tmp_path):
    def write(shell):
        assert commands.run(["completion", shell]) == 0
        script = tmp_path / shell
        script.write_text(capsys.readouterr().out)
        return script

    return write


@pytest.fixture
def complete(write_script, tmp_path):
    script = write_script("bash")

    def ask(words):
        command = ["bash", "--norc", "-c", PRESS_TAB.format(script=script, words=words)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return {line.strip() for line in result.stdout.splitlines()}

    return ask


def test_commands_are_completed(complete):
    assert complete("ro") == {"rollout"}
    assert complete("rollout p") == {"promote", "pause"}
    assert complete("completion ''") >= set(SHELLS)


def test_flags_and_their_choices_are_completed(complete):
    assert complete("rollout status --unt") == {"--until-paused"}
    assert complete("rollout status spam --output j") == {"json"}


def test_files_are_completed_where_a_file_is_meant(complete, tmp_path):
    (tmp_path / "model.onnx").touch()
    assert complete("encrypt mod") == {"model.onnx"}
    assert complete("serve --file mod") == {"model.onnx"}
    assert "model.onnx" not in complete("rollout status mod")


def test_other_shell_is_refused(capsys):
    assert commands.run(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


def test_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(packages, "_is_missing", lambda name: name == "shtab")
    assert commands.run(["completion", "bash"]) == 1
    assert "pip install 'modelservice[cli]'" in capsys.readouterr().err
