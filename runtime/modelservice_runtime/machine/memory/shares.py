"""How much memory this process may use, and how the surplus fails instead of the process.

Linux grants memory that is not there and kills whoever touches it. So what is left of the container's memory
when a model is loaded is shared out beforehand:

- most of it to the tensors of all runs together, a limit that ONNX Runtime's arena keeps by itself;
- a part to requests that arrive and answers that leave;
- the rest to everything small, which must never fail: a thread, or a library, that gets no memory for a few
  bytes ends the process.

A last limit, on all private writable memory (RLIMIT_DATA), stands behind these. What goes beyond any of them
is one request's error, and all others go on.
"""

import logging
import os
import re
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelservice_runtime.machine.memory.cgroup import find_control_groups, find_memory_limit, process_status

log = logging.getLogger(__name__)

MIB = 1024 * 1024
# The parent of several workers.
_PARENT_BYTES = 48 * MIB
# What the kernel keeps for the process: page tables, sockets, stacks.
_KERNEL_SHARE = 32
_MIN_KERNEL_BYTES = 4 * MIB
# Of what is free: for tensors, and for requests and answers on their way.
_TENSOR_SHARE = 0.75
_BUFFER_SHARE = 0.19
# What a session takes beside its weights: code that is read from the library's file, threads, the graph.
_SESSION_BYTES = 16 * MIB
# A limit below what is in use already would make everything fail.
_MIN_FREE_BYTES = 8 * MIB
_HEAP = re.compile(
    r"^[0-9a-f-]+ [^\n]*\[heap\]\n(?:\w+: [^\n]*\n)*?Size: +(\d+) kB\n(?:\w+: [^\n]*\n)*?Rss: +(\d+) kB",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """What one process, one of `workers`, may use of the container's memory, or of the machine's.

    `others_bytes` of it are taken by other processes.
    """

    limit_bytes: int
    others_bytes: int = 0
    workers: int = 1

    def used_bytes(self, status: Mapping[str, int]) -> int:
        """What this process costs, by its `process_status`; files are in memory once for all workers."""
        return status["VmRSS"] - status["RssFile"] + status["RssFile"] // self.workers

    def free_bytes(self, used_bytes: int) -> int:
        """What is left where this process uses `used_bytes`, and the kernel some for it."""
        kernel_bytes = max(self.limit_bytes // _KERNEL_SHARE, _MIN_KERNEL_BYTES)
        return max(self.limit_bytes - self.others_bytes - kernel_bytes - used_bytes, 0)


def find_memory_share(workers: int) -> MemoryShare:
    """The share of this process, one of `workers`."""
    machine_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = find_memory_limit(find_control_groups())
    if limit is None or limit.limit_bytes >= machine_bytes:
        return share_out(machine_bytes, 0, workers)
    # The kernel counts with other words than /proc, and a little later: a difference that is small is none.
    others_bytes = max(limit.used_bytes - process_status()["RssAnon"] - _MIN_FREE_BYTES, 0)
    return share_out(limit.limit_bytes, others_bytes, workers)


def share_out(limit_bytes: int, others_bytes: int, workers: int) -> MemoryShare:
    """Share a limit among workers, which are each other's others and have a parent."""
    if workers == 1:
        return MemoryShare(limit_bytes, others_bytes)
    return MemoryShare(max(limit_bytes - _PARENT_BYTES, 0) // workers, workers=workers)


def tensor_limit_bytes(share: MemoryShare, used_bytes: int, weights_bytes: int) -> int:
    """The most that weights and tensors of runs may take, before the weights are loaded."""
    free_bytes = share.free_bytes(used_bytes + _SESSION_BYTES)
    weights_bytes = min(weights_bytes, free_bytes)
    return max(weights_bytes + int((free_bytes - weights_bytes) * _TENSOR_SHARE), _MIN_FREE_BYTES)


def buffer_limit_bytes(share: MemoryShare, used_bytes: int) -> int:
    """The most that requests and answers on their way may take, once all models are loaded."""
    return int(share.free_bytes(used_bytes) * _BUFFER_SHARE)


def limit_growth(share: MemoryShare) -> None:
    """Let the process allocate what is left of its share, and no more."""
    status = process_status()
    # Freed memory that went back to the kernel can be used again without being allocated.
    unused_bytes = heap_holes_bytes(Path("/proc/self/smaps").read_text("utf-8", "replace"))
    used_bytes = share.used_bytes(status)
    free_bytes = max(share.free_bytes(used_bytes) - unused_bytes, _MIN_FREE_BYTES)
    soft = status["VmData"] + free_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        fields = {"limit_bytes": share.limit_bytes, "used_bytes": used_bytes, "free_bytes": free_bytes}
        log.info("memory limited", extra=fields)


def unlimit_growth() -> None:
    """Let the process allocate what it likes again."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def heap_holes_bytes(smaps: str) -> int:
    """What of the C library's heap is allocated and not in memory, by the text of `smaps`."""
    return sum(int(size) - int(resident) for size, resident in _HEAP.findall(smaps)) * 1024
