"""A process that dies says why, as far as anybody could know beforehand."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.machine.last_words import last_words

PROGRAM = """
import os, pathlib, signal, sys
from modelservice_runtime.errors import ModelLoadFailedError
from modelservice_runtime.machine.last_words import last_words
with last_words(ModelLoadFailedError("it crashed"), pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_process_that_crashes_leaves_the_sentence(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], check=False)
    assert ended.returncode == -signal.SIGSEGV
    assert file.read_text() == "ModelLoadFailed: it crashed"


def test_sentence_is_taken_back_when_nothing_happened(tmp_path: Path) -> None:
    file = tmp_path / "termination-log"
    file.touch()
    error = ModelLoadFailedError("it crashed")
    with last_words(error, file):
        assert file.read_text() == str(error)
    assert file.read_text() == ""
    with pytest.raises(ModelLoadFailedError), last_words(error, file):
        raise error
    assert file.read_text() == ""


def test_no_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    with last_words(ModelLoadFailedError("it crashed"), tmp_path / "absent"):
        assert not list(tmp_path.iterdir())
