"""Runs long commands with their progress in sight and their last words in the error."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import ClusterError
from hack.cluster.packages import search_path
from hack.cluster.progress import Progress

POLL_SECONDS = 0.2
MESSAGE_LINES = 20


def run_with_progress(
    command: Sequence[str],
    progress: Progress,
    share_done: Callable[[Sequence[str]], float],
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Run `command` and return its output lines.

    `share_done` tells from the lines so far how far it is (0 to 1). Raises ClusterError with the last lines
    where the command fails. An interrupt ends the command's children too.
    """
    lines: list[str] = []
    with subprocess.Popen(
        # Should we be killed, the kernel ends the command too.
        ["setpriv", "--pdeathsig", "KILL", *command],
        cwd=directory,
        env={**(os.environ if environment is None else environment), "PATH": search_path()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                progress.update(share_done(lines))
                time.sleep(POLL_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        reader.join()
    if process.returncode != 0:
        progress.finish("failed")
        raise ClusterError(f"`{command[0]}` failed; the last lines were:\n{last_lines(''.join(lines))}")
    return lines


def last_lines(text: str) -> str:
    """Return the last lines of `text`, indented, as part of an error message."""
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-MESSAGE_LINES:])
