"""Large memory moves to huge pages; in a process of its own, for it cannot be undone."""

import io
import mmap
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelservice_runtime.machine.memory.huge_pages import find_large_mappings, find_used

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE = 16 * mmap.PAGESIZE

PROGRAM = """
import mmap
from pathlib import Path
from modelservice_runtime.machine.memory.huge_pages import use_huge_pages

def look():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    values = dict(line.split(":") for line in lines)
    return [int(values[name].split()[0]) for name in ("AnonHugePages", "Rss")]

used = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE)
used[:] = b"x" * len(used)
barely_used = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE)
barely_used[:4096] = b"x" * 4096
before = look()
assert use_huge_pages() >= len(used) // 2
assert used[:] == b"x" * len(used)
print(*[after - earlier for after, earlier in zip(look(), before)])
"""


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("7f0000000000-7f0002000000 rw-p 00000000 00:00 0 ", True),
        ("5500000000-5504000000 rw-p 00000000 00:00 0          [heap]", True),
        ("7f0000000000-7f0000100000 rw-p 00000000 00:00 0 ", False),  # small
        ("7f0000000000-7f0002000000 ---p 00000000 00:00 0 ", False),
        ("7f0000000000-7f0002000000 rw-s 00000000 00:01 7     /dev/zero (deleted)", False),
        ("7f0000000000-7f0002000000 rw-p 00000000 fe:00 4242     /models/m.onnx.data", False),
        ("7f0000000000-7f0002000000 rw-p 00000000 00:00 0          [stack]", False),
    ],
)
def test_only_large_memory_of_its_own_is_looked_at(line: str, is_found: bool) -> None:
    lines = ["1000000-1001000 r-xp 00000000 fe:00 77     /usr/bin/python3", line]
    found = [f"{start:x}-{end:x}" for start, end in find_large_mappings(lines)]
    assert found == ([line.split()[0]] if is_found else [])


@pytest.mark.parametrize(
    ("start", "used_pages", "expected"),
    [
        (HUGE, [16, 16, 0, 15, 14, 16], [(1, 3), (4, 5), (6, 7)]),
        (HUGE, [0, 0], []),
        (HUGE - mmap.PAGESIZE, [16, 16], [(1, 3)]),  # begins and ends within a huge page
        (HUGE + mmap.PAGESIZE, [16, 16], [(2, 3)]),
        (HUGE + mmap.PAGESIZE, [16], []),
    ],
)
def test_whole_huge_pages_in_use_are_found(
    start: int, used_pages: list[int], expected: list[tuple[int, int]]
) -> None:
    entries = np.zeros(100 * 16, "<u8")
    for number, used in enumerate(used_pages, start=1):
        entries[number * 16 : number * 16 + used] = 1 << 63
    end = HUGE * (len(used_pages) + 1) + mmap.PAGESIZE
    found = find_used(io.BytesIO(entries.tobytes()), start, end, HUGE)
    assert [(begin // HUGE, stop // HUGE) for begin, stop in found] == expected


@pytest.mark.skipif(
    not SETTING.exists()
    or "[never]" in SETTING.read_text()
    or tuple(map(int, platform.release().split(".")[:2])) < (6, 1),
    reason="this kernel gives no huge pages on demand",
)
def test_memory_in_use_moves_and_takes_no_more() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    huge_kb, added_kb = map(int, result.stdout.split())
    assert huge_kb >= 16 * 1024  # what is not aligned, or finds no free huge page, stays
    assert added_kb < 8 * 1024
