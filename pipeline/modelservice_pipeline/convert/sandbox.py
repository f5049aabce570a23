"""Runs a framework apart: without network, without our secrets, for a limited time.

A pickle, a TorchScript file or a factory is code, which runs when it is read. What keeps it from harm is the
kernel's namespaces where an ordinary user may make them: no network, and no process that outlives the run.
Files of the user stay readable to it; whoever trusts none of that converts in a container of its own.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from modelservice_pipeline.errors import PipelineError

# What to try, from the best on: a user of its own that may make namespaces, of the network and of processes.
_WAYS = (
    ("--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
    ("--user", "--map-root-user", "--net", "--"),
)
_TAIL_BYTES = 16384


@functools.cache
def find_isolation() -> tuple[str, ...]:
    """The beginning of a command that cuts the network off; empty where this machine does not allow that."""
    unshare = shutil.which("unshare")
    for way in _WAYS if unshare else ():
        command = (unshare or "", *way)
        if subprocess.run((*command, "true"), capture_output=True, check=False).returncode == 0:
            return command
    return ()


def run(command: Sequence[str | Path], folder: Path, environ: dict[str, str], limit_seconds: float) -> None:
    """Run a command in a folder, with these variables alone; its output goes into `log.txt` there.

    Raises PipelineError with the end of the log where it fails, and where it takes longer than the limit.
    """
    log_path = folder / "log.txt"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            (*find_isolation(), *command),
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            raise PipelineError(
                f"the framework did not come to an end within {limit_seconds:g} seconds; "
                "if the model only needs longer raise --timeout-seconds"
            ) from None
        finally:
            _end(process)
    if code:
        raise PipelineError(describe_end(code, log_path))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the run, also what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_end(code: int, log_path: Path) -> str:
    """What the end of a run means, with the last lines that it printed."""
    with log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - _TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()
    # `unshare` and a shell report a signal as 128 and its number.
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        why = "the framework was killed, as happens when memory runs out"
    elif number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGBUS):
        why = f"the framework crashed ({signal.Signals(number).name})"
    else:
        why = "the framework failed"
    return "\n  ".join((f"{why}; the end of its log:", *lines[-12:]))
