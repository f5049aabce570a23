"""The control plane that the benchmark started: what CPU it takes, and what of it can be held still."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLLOWERS = ("controller-manager", "scheduler", "kwok")
"""What answers a changed Deployment with ReplicaSets, pods, endpoints and Events."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ControlPlane:
    """Processes by the name of their component."""

    pids: Mapping[str, int]

    def cpu_seconds(self) -> float:
        """User and system time of all of them so far."""
        return sum(map(_cpu_seconds, self.pids.values()))

    @contextlib.contextmanager
    def holding_still(self) -> Iterator[None]:
        """Stop all but the API server and its database; they go on with what came meanwhile."""
        stopped = [self.pids[name] for name in FOLLOWERS]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


def _cpu_seconds(pid: int) -> float:
    """Fields 14 and 15 of `/proc/PID/stat`, proc(5); the name before them may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def busy_seconds() -> float:
    """What all cores have worked so far: `/proc/stat` but for idle and waiting for disks, proc(5)."""
    first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    user, nice, system, _, _, irq, soft_irq = map(int, first.split()[1:8])
    return (user + nice + system + irq + soft_irq) / TICKS
