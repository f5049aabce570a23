"""What every process that serves does before its event loop starts and when it ends."""

import os
import sys
import time
from pathlib import Path

from modelservice_runtime.errors import StartupError
from modelservice_runtime.machine.last_words import TERMINATION_LOG, leave
from modelservice_runtime.machine.logs import configure_logging
from modelservice_runtime.machine.memory.allocator import keep_freed_memory
from modelservice_runtime.machine.memory.shares import find_memory_share
from modelservice_runtime.machine.stderr import drain_stderr
from modelservice_runtime.machine.threads import use_small_stacks

# A runner thread that ends a run waits this long for the event loop to let go of the interpreter; Python's
# default of 5 ms is longer than most models run.
_SWITCH_INTERVAL_SECONDS = 0.0005
# `starttime` is the 22nd field of /proc/PID/stat, the 20th behind the command's name.
_START_TIME = 19


def process_age_seconds() -> float:
    """Since this process began, to 10 ms: Python's own start and all imports count; see proc(5)."""
    fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    start_seconds = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_seconds


def configure_process() -> None:
    """What every process that serves needs before its event loop starts."""
    use_small_stacks()
    configure_logging()
    keep_freed_memory(find_memory_share(workers=1).limit_bytes)
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)


def end_process(code: int, *, clean: bool) -> None:
    """End at once unless `clean`.

    A runaway model holds a thread that Python would wait for without end; so may a failed driver.
    """
    if not clean:
        drain_stderr()
        os._exit(code)


def report_fatal(error: StartupError, termination_log: Path = TERMINATION_LOG) -> int:
    """Print the sentence as the last line, leave it where Kubernetes looks for it, and return 1."""
    sentence = str(error)
    print(sentence, file=sys.stderr, flush=True)
    leave(sentence, termination_log)
    return 1
