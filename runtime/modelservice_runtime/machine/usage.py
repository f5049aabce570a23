"""What this process, and the container it is in, have used of CPU and memory so far."""

import time

from modelservice_runtime.machine.memory.cgroup import (
    find_control_groups,
    process_status,
    working_set_bytes,
)


class Usage:
    """Knows where to look; cheap enough to ask every second."""

    def __init__(self) -> None:
        self._groups = find_control_groups()
        self.knows_container = self.container_bytes() is not None
        """Whether `container_bytes` tells; asked once, for the kernel takes its time to sum up a group."""

    def cpu_seconds(self) -> float:
        """CPU time of all threads of this process since it started."""
        return time.process_time()

    def container_bytes(self) -> int | None:
        """See `cgroup.working_set_bytes`."""
        return working_set_bytes(self._groups)

    def resident_bytes(self) -> int:
        """Memory of this process alone."""
        return process_status().get("VmRSS", 0)
