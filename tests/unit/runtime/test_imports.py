"""What processes import before they are ready: time to start, and memory for as long as they live."""

import subprocess
import sys

import pytest

SERVER = "modelservice_runtime.serving.serve"
COMMAND = "modelservice_cli.commands, modelservice_cli.serve, modelservice_runtime.serving.serve"
PROGRAM = """
import {modules}
import sys
print(*sorted(set({unneeded}) & {{name.partition(".")[0] for name in sys.modules}}))
"""
# Each takes longer than a small model to load.
HEAVY = ["prometheus_client", "pydantic", "modelservice_operator", "yaml", "aiohttp", "obstore"]


@pytest.mark.parametrize("modules", [SERVER, COMMAND])
def test_server_imports_nothing_that_it_may_never_need(modules: str) -> None:
    program = PROGRAM.format(modules=modules, unneeded=HEAVY)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_linear_algebra_of_numpy_starts_no_threads() -> None:
    program = "import modelservice_runtime, numpy, os; print(len(os.listdir('/proc/self/task')))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1"]
