"""How much memory this process may use, and a limit that makes the surplus fail instead of the process.

Linux grants memory that is not there and kills whoever touches it. The limit is on private writable memory
(RLIMIT_DATA): what was used when the server became ready, plus what the container still has. An allocation
that could never be filled then fails at once: one request gets an error, and all others go on.
"""

import logging
import os
import resource
from pathlib import Path

log = logging.getLogger(__name__)

_CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_V1_LIMIT = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Stacks of threads to come and the like are reserved and hardly used.
_SLACK_BYTES = 128 * 1024 * 1024


def memory_limit_bytes(files: tuple[Path, ...] = (_CGROUP_V2_LIMIT, _CGROUP_V1_LIMIT)) -> int:
    """The container's limit, or else the machine's memory."""
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in files:
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(int(text), machine_bytes)
    return machine_bytes


def limit_growth(limit_bytes: int) -> None:
    """Let the process allocate what is left of ``limit_bytes``, and some that it will not touch."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("ascii").splitlines())
    used_bytes, data_bytes = (int(status[key].split()[0]) * 1024 for key in ("VmRSS", "VmData"))
    soft = data_bytes + max(limit_bytes - used_bytes, 0) + _SLACK_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        log.info("memory limited", extra={"limit_bytes": limit_bytes, "used_bytes": used_bytes})
