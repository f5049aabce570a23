"""Open files: every connection is one, and a process may have only so many."""

import resource
from pathlib import Path

# For models with external data, the trial's pipes, workers, and what libraries open: so many, or so large a
# share of what the limit allows.
_SPARE = 128
_SPARE_SHARE = 8


def allow_files(wanted: int) -> int:
    """Let this process open `wanted` further files; returns how many it may open, at least 0.

    The usual soft limit of 1,024 is raised as far as the hard limit allows and it takes.
    """
    opened = sum(1 for _ in Path("/proc/self/fd").iterdir())
    spare = _SPARE + opened
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + spare
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(raised - min(_SPARE, raised // _SPARE_SHARE) - opened, 0)
