"""Starts the components and stops exactly what was started.

Every process records itself (boot, pid, start time) in a file before it becomes the component, so that even a
killed `up` leaves no process that `down` does not know. A pid is only believed with its start time: the
kernel uses pids again.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.errors import ClusterError

# $0 is the record, "$@" the program. The shell's pid and start time survive `exec`.
_LAUNCH = """
cat /proc/sys/kernel/random/boot_id "/proc/$$/stat" > "$0.new" && mv "$0.new" "$0" && exec "$@" </dev/null
"""
START_TIMEOUT_SECONDS = 10.0
KILL_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.02
LOG_LINES = 20


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be mistaken for another: the boot, the pid, and when it started (clock ticks)."""

    boot_id: str
    pid: int
    start_ticks: int

    def is_running(self) -> bool:
        """Return whether this very process still runs; one that only waits to be reaped does not."""
        return self.boot_id == current_boot_id() and read_identity(self.pid) == self


def current_boot_id() -> str:
    """Return the kernel's name of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def current_identity() -> ProcessIdentity:
    """Return the identity of the calling process."""
    return parse_identity(current_boot_id() + "\n" + Path("/proc/self/stat").read_text())


def parse_identity(text: str) -> ProcessIdentity:
    """Parse a record: the boot id on one line, then a `/proc/PID/stat` line (proc(5), fields 1 and 22)."""
    boot_id, _, stat = text.partition("\n")
    # Field 2, the command name in brackets, may itself hold spaces and brackets.
    pid, _, rest = stat.partition(" (")
    fields = rest.rpartition(")")[2].split()
    return ProcessIdentity(boot_id=boot_id, pid=int(pid), start_ticks=int(fields[19]))


def read_identity(pid: int) -> ProcessIdentity | None:
    """Return the identity of the running process `pid`, or None where it ended (reaped or not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state = stat.rpartition(")")[2].split()[0]
    return None if state in "ZX" else parse_identity(f"{current_boot_id()}\n{stat}")


class ProcessTable:
    """The recorded processes of one cluster: one record and one log file for each component."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def start(self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start `command` as the component `name`, detached from us, its output in its log."""
        for directory in (self._records, self._logs):
            directory.mkdir(parents=True, exist_ok=True)
        record = self._records / name
        record.unlink(missing_ok=True)
        with self.log(name).open("ab") as log:
            # `setsid --fork` returns at once and leaves the component to init: we have nothing to reap.
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", _LAUNCH, record, *command],
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd="/",
                check=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not record.exists():
            if time.monotonic() > deadline:
                raise ClusterError(f"{name} did not start; {self.describe_log(name)}")
            time.sleep(POLL_SECONDS)

    def names(self) -> list[str]:
        """Return the recorded components, running or not."""
        if not self._records.is_dir():
            return []
        return sorted(path.name for path in self._records.iterdir() if not path.name.endswith(".new"))

    def pid(self, name: str) -> int | None:
        """Return the pid of the running component `name`, or None when it does not run."""
        identity = self._identity(name)
        return identity.pid if identity is not None and identity.is_running() else None

    def dead(self) -> list[str]:
        """Return the recorded components that run no more."""
        return [name for name in self.names() if self.pid(name) is None]

    def check(self) -> None:
        """Raise ClusterError with the last log lines when a recorded component runs no more."""
        if dead := self.dead():
            raise ClusterError(
                f"{dead[0]} stopped while the cluster was starting; {self.describe_log(dead[0])}"
            )

    def kill(self, names: Iterable[str]) -> None:
        """Kill the components at once, wait until they are gone, and forget them."""
        identities = {name: self._identity(name) for name in names}
        kill_all([identity for identity in identities.values() if identity is not None])
        for name in identities:
            (self._records / name).unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """Return the log file of a component."""
        return self._logs / f"{name}.log"

    def describe_log(self, name: str) -> str:
        """Return the last lines of a component's log as the end of an error message."""
        try:
            lines = self.log(name).read_text(errors="replace").splitlines()[-LOG_LINES:]
        except FileNotFoundError:
            lines = []
        text = "\n".join(f"  {line}" for line in lines) or "  (empty)"
        return f"the last lines of {self.log(name)}:\n{text}"

    def _identity(self, name: str) -> ProcessIdentity | None:
        try:
            return parse_identity((self._records / name).read_text())
        except FileNotFoundError:
            return None


def kill_all(identities: Sequence[ProcessIdentity]) -> None:
    """Send SIGKILL to the processes that still are who they were, and wait until all are gone."""
    for identity in identities:
        if identity.is_running():
            try:
                os.kill(identity.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while alive := [identity.pid for identity in identities if identity.is_running()]:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"processes {alive} do not end after SIGKILL; look at `ps -o pid,stat,wchan,args`"
            )
        time.sleep(POLL_SECONDS)
