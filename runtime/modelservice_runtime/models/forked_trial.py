"""A trial's process that begins as a copy of the server, before the server has a second thread.

All that both import is imported once then, which is most of what a small model's trial takes. Later trials,
beside threads, which a copy would not have, start from nothing; see `models.trial`.
"""

import contextlib
import importlib
import io
import os
import signal
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from modelservice_runtime.machine.collector import collector_paused
from modelservice_runtime.models.samples import DecodeSample

_TASKS = Path("/proc/self/task")


class ForkedTrial:
    """The process, to be asked as `subprocess.Popen` is."""

    def __init__(self, pid: int, stdin: io.FileIO, stdout: io.FileIO) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._pid = pid
        self._code: int | None = None

    def __enter__(self) -> "ForkedTrial":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def kill(self) -> None:
        """End it, where it has not ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; returns the exit code, or the signal's number below 0."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._code

    def close(self) -> None:
        """End it, and leave nothing behind."""
        self.kill()
        self.wait()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()


def fork_trial(decode_sample: DecodeSample) -> ForkedTrial | None:
    """Make a copy of this process that waits for a request; None where it has threads already."""
    with collector_paused():
        importlib.import_module("modelservice_runtime.onnx.model")
    if len(list(_TASKS.iterdir())) > 1:
        return None
    (request, ask), (answers, answer) = os.pipe(), os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ask)
        os.close(answers)
        _become_trial(request, answer, decode_sample)
    os.close(request)
    os.close(answer)
    # Without a buffer, so that no answer hides where a selector does not see it.
    return ForkedTrial(pid, io.FileIO(ask, "w"), io.FileIO(answers, "r"))


def _become_trial(request: int, answer: int, decode_sample: DecodeSample) -> NoReturn:
    from modelservice_runtime.models.trial_process import run_trial

    try:
        # A terminal's interrupt reaches the server alone, which ends the trial.
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(request, 0)
        os.dup2(answer, 1)
        run_trial(decode_sample)
    finally:
        os._exit(1)  # never back into the server's own code
