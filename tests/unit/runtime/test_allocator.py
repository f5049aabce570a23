"""The allocator keeps large buffers; in a process of its own, for it cannot be undone."""

import subprocess
import sys

PROGRAM = """
import resource
from modelservice_runtime.allocator import keep_freed_memory

def faults():
    bytearray(8_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = faults()
assert keep_freed_memory()
print(without, faults())
"""


def test_keep_freed_memory_spares_page_faults() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    without, kept = map(int, result.stdout.split())
    assert kept < without / 10
