"""The end of a process that is asked to end while it still imports.

The kernel drops SIGTERM for a container's first process as long as that has no handler
(pid_namespaces(7)), and the pod would stay for its whole grace period. Every other process dies of it by
itself, even within a C library that lets no handler of Python run: that must stay so.
"""

import contextlib
import os
import signal
from types import FrameType

# As shells and container runtimes report a process that died of the signal.
EXIT_CODE = 128 + signal.SIGTERM
_LAST_LINE = b'{"level": "info", "message": "ended by SIGTERM while the process started"}\n'


def end_on_sigterm() -> None:
    """End the process at once on SIGTERM, until an event loop takes the signal over."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, _LAST_LINE)
    os._exit(EXIT_CODE)
