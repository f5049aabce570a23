"""How many CPUs this process may really use."""

import math
import os
from pathlib import Path

_CGROUP_V2_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def available_cpus(limit_file: Path = _CGROUP_V2_LIMIT) -> int:
    """CPUs granted by the cgroup's limit (rounded up) and the scheduler's affinity; at least 1.

    ONNX Runtime itself counts the node's cores, which throttles a container with a smaller limit.
    """
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, _, period = limit_file.read_text(encoding="ascii").partition(" ")
    except OSError:
        return cpus
    if not quota.strip().isdigit() or not period.strip().isdigit() or int(period) == 0:
        return cpus
    return max(1, min(cpus, math.ceil(int(quota) / int(period))))
