"""The allocator keeps large buffers; in a process of its own, for it cannot be undone."""

import subprocess
import sys

PROGRAM = """
import resource
from modelservice_runtime.machine.memory.allocator import keep_freed_memory

def faults():
    bytearray(8_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
assert keep_freed_memory(2**32)
print(without, faults())
"""


def test_keep_freed_memory_spares_page_faults() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    without, kept = map(int, result.stdout.split())
    assert kept < without / 10


FREED = """
from pathlib import Path
from modelservice_runtime.machine.memory.allocator import give_back_freed_memory, keep_freed_memory

def resident_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

keep_freed_memory(2**32)
buffers = [bytearray(20_000) for _ in range(4000)]
last = bytearray(20_000)  # above all others, so that nothing below goes back by itself
del buffers
before = resident_kb()
give_back_freed_memory()
print(before - resident_kb())
"""


def test_freed_memory_below_what_is_used_goes_back() -> None:
    result = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(result.stdout) > 60_000


LARGE = """
from pathlib import Path
from modelservice_runtime.machine.memory.allocator import keep_freed_memory

keep_freed_memory({memory_bytes})
buffer = bytearray(20_000_000)
after = bytearray(200_000)
del buffer
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmData")))
"""


def test_large_buffers_leave_no_holes_in_the_heap_where_memory_is_short() -> None:
    def data_kb(memory_bytes: int) -> int:
        command = [sys.executable, "-c", LARGE.format(memory_bytes=memory_bytes)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert data_kb(2**28) < data_kb(2**33) - 15_000
