"""A step that is asked to end takes along what it started."""

import os
import signal
import subprocess
import sys
import time

SCRIPT = """
import subprocess, sys
from types import SimpleNamespace
from modelservice_cli import model
from modelservice_pipeline.commands.registry import Command

def run(arguments):
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            print(child.pid, flush=True)
            child.wait()
        finally:
            child.kill()

Command.load = lambda self: SimpleNamespace(run=run)
sys.exit(model.run(SimpleNamespace(step="signature")))
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_step_that_is_asked_to_end_takes_its_children_along() -> None:
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 128 + signal.SIGTERM
    deadline = time.monotonic() + 120
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
