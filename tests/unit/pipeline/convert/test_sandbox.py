"""What runs a framework: no network, none of our variables, an end in any case."""

import os
import subprocess
import sys
import time

import pytest

from modelservice_pipeline.convert import sandbox
from modelservice_pipeline.convert.convert import Request, _environ, run_framework
from modelservice_pipeline.errors import PipelineError

NETWORK = "import socket; print([name for _, name in socket.if_nameindex()])"


def run(folder, program, limit_seconds=60.0):
    sandbox.run((sys.executable, "-c", program), folder, {"PATH": "/usr/bin:/bin"}, limit_seconds)
    return (folder / "log.txt").read_text()


def test_framework_sees_no_network_but_a_loopback_that_is_down(tmp_path):
    if not sandbox.find_isolation():
        pytest.skip("this machine lets nobody make namespaces")
    assert run(tmp_path, NETWORK).strip() == "['lo']"
    program = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    with pytest.raises(PipelineError, match="Network is unreachable"):
        run(tmp_path, program)


def test_framework_has_none_of_our_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "AWS_SECRET_ACCESS_KEY" not in run(tmp_path, "import os; print(dict(os.environ))")
    folder = tmp_path / "job"
    folder.mkdir()
    environ = _environ(folder)
    assert "secret" not in str(environ)
    assert environ["HOME"].startswith(str(folder))


def test_end_of_the_log_tells_why_a_framework_failed(tmp_path):
    with pytest.raises(
        PipelineError, match=r"the framework failed; the end of its log:(.|\n)*ValueError: no"
    ):
        run(tmp_path, "raise ValueError('no')")
    with pytest.raises(PipelineError, match=r"crashed \(SIGSEGV\)"):
        run(tmp_path, "import ctypes; ctypes.string_at(0)")


def test_framework_that_never_ends_is_ended_with_all_it_started(tmp_path):
    child = "import time; time.sleep(1000)  # of the sandbox test"
    program = (
        "import subprocess, sys, time; from pathlib import Path\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        "Path('started').touch(); time.sleep(1000)"
    )
    with pytest.raises(PipelineError, match="did not come to an end within 3 seconds"):
        run(tmp_path, program, 3.0)
    if not sandbox.find_isolation() or "--pid" not in sandbox.find_isolation():
        pytest.skip("without a namespace of processes one may get away")
    deadline = time.monotonic() + 120
    while (tmp_path / "started").exists() and _is_running("of the sandbox test"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(text):
    shown = subprocess.run(("ps", "-eo", "pid,args"), capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if text in line and "sleep(1000)" in line]
    return [line for line in lines if int(line.split()[0]) != os.getpid()]


@pytest.mark.parametrize(
    "files", [{}, {"result.json": "[]"}, {"result.json": "{}"}, {"result.json": "no JSON"}]
)
def test_source_that_ends_the_process_itself_is_told(tmp_path, files):
    source, python, folder = tmp_path / "evil.pkl", tmp_path / "python", tmp_path / "job"
    source.touch()
    folder.mkdir()
    writes = "".join(f"printf '%s' '{text}' > {name}\n" for name, text in files.items())
    python.write_text(f"#!/bin/sh\n{writes}exit 0\n")
    python.chmod(0o755)
    with pytest.raises(PipelineError, match=r"evil\.pkl ended the framework's process without a result"):
        run_framework(Request("sklearn", source), python, folder)
