"""Moves what a process keeps for long to huge pages, so that reading it needs fewer steps.

With pages of 4 KB a model of 25 MB has more of them than the CPU can remember the places of, and each run
looks them up again: on a virtual machine a run of 2.7 ms took 2.2 ms after this. Many systems give huge pages
only to who asks for them (``madvise`` in ``transparent_hugepage/enabled``), which ONNX Runtime and the C
library do not do by themselves.
"""

import ctypes
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPPINGS = Path("/proc/self/smaps")
_MADV_COLLAPSE = 25  # Linux 6.1
# Smaller mappings gain little.
_MIN_BYTES = 4 * 1024 * 1024
# A huge page takes the memory of those that were never written to as well: at most a tenth more.
_MIN_RESIDENT = 0.9

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(\[heap\])?$")
_RESIDENT = re.compile(r"Rss: +(\d+) kB")


def use_huge_pages() -> int:
    """Ask for huge pages wherever this process has large mappings of its own; returns bytes asked for.

    Takes a second for some gigabytes. Memory that cannot move stays as it is.
    """
    try:
        if "[never]" in _SETTING.read_text():
            return 0
        mappings = list(find_large_mappings(_MAPPINGS.read_text().splitlines()))
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, end in mappings:
        madvise(start, end - start, mmap.MADV_HUGEPAGE)  # older kernels move it by and by
        madvise(start, end - start, _MADV_COLLAPSE)
    return sum(end - start for start, end in mappings)


def find_large_mappings(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of what is large, private, no file's and almost all in use, by the lines of ``smaps``."""
    mapping: tuple[int, int] | None = None
    for line in lines:
        head = _HEAD.match(line)
        if head is not None:
            mapping = int(head[1], 16), int(head[2], 16)
        elif mapping is not None and (resident := _RESIDENT.match(line)) is not None:
            size_bytes = mapping[1] - mapping[0]
            if size_bytes >= _MIN_BYTES and int(resident[1]) * 1024 >= _MIN_RESIDENT * size_bytes:
                yield mapping
            mapping = None
