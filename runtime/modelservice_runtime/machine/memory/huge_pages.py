"""Moves what a process keeps for long to huge pages, so that the CPU finds it with fewer steps.

With pages of 4 KB a model of 25 MB has more of them than the CPU can remember the places of, and each run
looks them up again: on a virtual machine a run of 2.7 ms took 2.2 ms after this. Many systems give huge pages
only to those who ask for them (`madvise` in `transparent_hugepage/enabled`), which ONNX Runtime and the C
library do not do by themselves. Source: Linux, `admin-guide/mm/transhuge.rst` and madvise(2).
"""

import ctypes
import mmap
import re
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelservice_runtime.machine.memory.allocator import give_back_freed_memory

_SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
_SELF = Path("/proc/self")
_MADV_COLLAPSE = 25  # Linux 6.1
_STEP_BYTES = 64 * 1024 * 1024
_MAX_SECONDS = 10.0
# Smaller mappings gain little.
_MIN_BYTES = 4 * 1024 * 1024
# A huge page also takes the memory of small ones that were never written to: at most a tenth more.
_MIN_USED = 0.9
_ENTRY = np.dtype("<u8")  # of pagemap, one for each page
_PRESENT_BIT = 63

# Private, written to, and no file's: by a line of maps.
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\])?$")


def settle_memory() -> None:
    """Once a model is loaded: what loading freed goes back, and what stays moves to huge pages."""
    give_back_freed_memory()  # first, for what moves to huge pages stays
    use_huge_pages()


def use_huge_pages() -> int:
    """Ask for huge pages for all that this process keeps in memory of its own; returns bytes asked for.

    Moves about a gigabyte in a second, 2 MB at a time, while only an access to these has to wait. Where the
    kernel has to make room first that takes longer, and ends after some seconds. Memory that cannot move
    stays as it is.
    """
    try:
        if "[never]" in (_SETTINGS / "enabled").read_text():
            return 0
        huge_bytes = int((_SETTINGS / "hpage_pmd_size").read_text())
        mappings = list(find_large_mappings((_SELF / "maps").read_text().splitlines()))
        with (_SELF / "pagemap").open("rb") as pagemap:
            ranges = [used for mapping in mappings for used in find_used(pagemap, *mapping, huge_bytes)]
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    stop_at = time.monotonic() + _MAX_SECONDS
    for start, end in ranges:
        madvise(start, end - start, mmap.MADV_HUGEPAGE)  # what is not moved here, the kernel moves by and by
        for begin in range(start, end, _STEP_BYTES):
            if time.monotonic() < stop_at:
                madvise(begin, min(_STEP_BYTES, end - begin), _MADV_COLLAPSE)
    return sum(end - start for start, end in ranges)


def find_large_mappings(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of the large mappings of the process's own memory, by the lines of `maps`."""
    for line in lines:
        found = _MAPPING.match(line)
        if found is not None:
            start, end = int(found[1], 16), int(found[2], 16)
            if end - start >= _MIN_BYTES:
                yield start, end


def find_used(pagemap: BinaryIO, start: int, end: int, huge_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges between `start` and `end` of whole huge pages of which (almost) all is in use."""
    first = -(-start // huge_bytes) * huge_bytes
    count = (end - first) // huge_bytes
    if count <= 0:
        return
    pages = huge_bytes // mmap.PAGESIZE
    pagemap.seek(first // mmap.PAGESIZE * _ENTRY.itemsize)
    entries = np.frombuffer(pagemap.read(count * pages * _ENTRY.itemsize), _ENTRY).reshape(count, pages)
    used = (entries >> _PRESENT_BIT).sum(axis=1) >= _MIN_USED * pages
    # Where use begins and ends, with nothing used on both sides.
    edges = np.flatnonzero(np.diff(np.concatenate(([False], used, [False])))).tolist()
    for begin, stop in list(pairwise(edges))[::2]:
        yield first + begin * huge_bytes, first + stop * huge_bytes
