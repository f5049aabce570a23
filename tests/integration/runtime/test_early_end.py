"""SIGTERM at any moment of the start ends every process of ours, also a container's first process.

What a start waits for is made endless, so that a signal that is lost cannot look like one that was late.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.runtime.server_process import ROOT, server_process

PATIENCE_SECONDS = 120
ENDLESS = """
import sys, time
print("waiting", file=sys.stderr, flush=True)
time.sleep(3600)
"""
# The kernel drops signals without a handler for the first process of a namespace, as for a container's.
FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
EARLY_END = 128 + signal.SIGTERM

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace")


@contextmanager
def first_process(arguments: Sequence[str], path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Python with these arguments as process 1; modules below `path` come before all others."""
    packages = [ROOT / "runtime", ROOT / "operator", ROOT / "cli"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [path, *packages]))}
    command = [*FIRST_PROCESS, sys.executable, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"ended without {text!r}: {lines}")


def terminate_first(process: "subprocess.Popen[str]") -> int:
    """Send SIGTERM as the container runtime does; the exit code."""
    (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(first), signal.SIGTERM)
    return process.wait(PATIENCE_SECONDS)


@needs_root
@pytest.mark.parametrize(
    ("arguments", "slow_module"),
    [
        (("-m", "modelservice_runtime", "serve", "--model", "m=m.onnx"), "uvloop"),
        (("-m", "modelservice_runtime", "serve", "--model", "m=m.onnx"), "numpy"),
        (("-m", "modelservice_runtime", "fetch", "--uri", "https://example.com/m.onnx"), "aiohttp"),
        (("-m", "modelservice_runtime", "info"), "numpy"),
        (("-m", "modelservice_cli.main", "serve", "--model", "m.onnx"), "argparse"),
        (("-m", "modelservice_operator"), "kopf"),
    ],
)
def test_first_process_that_imports_ends_on_sigterm(
    arguments: tuple[str, ...], slow_module: str, tmp_path: Path
) -> None:
    (tmp_path / f"{slow_module}.py").write_text(ENDLESS)
    with first_process(arguments, tmp_path) as process:
        wait_for_line(process, "waiting")
        assert terminate_first(process) == EARLY_END


@needs_root
@pytest.mark.parametrize(("trial", "code"), [((), EARLY_END), (("--model-trial-seconds", "off"), 0)])
def test_first_process_that_loads_ends_on_sigterm(
    trial: tuple[str, ...], code: int, model_files: dict[str, Path], tmp_path: Path
) -> None:
    """With a trial ONNX Runtime is imported first of all, for both; else when the ports are open."""
    (tmp_path / "onnxruntime.py").write_text(ENDLESS)
    ports = ("--host", "127.0.0.1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    model = ("--model", f"m={model_files['mlp']}", "--drain-delay-seconds", "3600")
    with first_process(("-m", "modelservice_runtime", "serve", *ports, *model, *trial), tmp_path) as process:
        wait_for_line(process, "waiting")
        assert terminate_first(process) == code


@needs_root
def test_supervisor_whose_workers_start_ends_on_sigterm(model_files: dict[str, Path], tmp_path: Path) -> None:
    waiting = ENDLESS.replace("\n", "\n  ")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nif 'worker' in sys.orig_argv:{waiting}\n")
    ports = ("--host", "127.0.0.1", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    model = ("--model", f"m={model_files['mlp']}", "--workers", "2", "--drain-delay-seconds", "3600")
    with first_process(("-m", "modelservice_runtime", "serve", *ports, *model), tmp_path) as process:
        wait_for_line(process, "waiting")
        assert terminate_first(process) == 0


@needs_root
def test_fetcher_that_waits_for_a_name_server_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import socket\ndef getaddrinfo(*_, **__):\n {ENDLESS.replace(chr(10), chr(10) + ' ')}\n"
        "socket.getaddrinfo = getaddrinfo\n"
    )
    message = tmp_path / "termination-log"
    message.touch()
    arguments = ("--uri", "https://example.com/m.onnx", "--destination", str(tmp_path / "models"))
    command = ("-m", "modelservice_runtime", "fetch", *arguments, "--termination-log", str(message))
    with first_process(command, tmp_path) as process:
        wait_for_line(process, "waiting")
        assert terminate_first(process) == 1
    report = json.loads(message.read_text(encoding="utf-8"))
    assert (report["reason"], report["message"]) == (
        "DownloadFailed",
        "the fetch was stopped before it was finished",
    )


STOPPED_IN_WARM_UP = """
import functools, os, pathlib, sys, time
from modelservice_runtime.models import warm_up
from modelservice_runtime.serving import serve
from modelservice_runtime.machine.last_words import last_words

def never_ends(*arguments):
    print('{"message": "warming up"}', file=sys.stderr, flush=True)
    time.sleep(3600)

warm_up.warm_up = never_ends
serve.last_words = functools.partial(last_words, termination_log=pathlib.Path(os.environ["TERMINATION_LOG"]))
sys.exit(serve.run(sys.argv[1:]))
"""


def test_server_that_is_stopped_while_it_loads_takes_its_last_words_back(
    model_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("TERMINATION_LOG", str(log))
    with server_process("--model", f"mlp={model_files['mlp']}", program=STOPPED_IN_WARM_UP) as server:
        server.wait_for("warming up")
        assert log.read_text().startswith("ModelLoadFailed: the server died while it loaded")
        assert server.end() == 0
    assert log.read_text() == ""
