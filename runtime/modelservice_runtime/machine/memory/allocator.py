"""How the C library's allocator treats large buffers: it keeps them for the next request.

By default glibc gives buffers of megabytes back to the kernel when they are freed and gets new pages, one
fault each, for the next request. For a body of 3 MB the faults took longer than parsing it. And it gives
each thread memory of its own, so that what one has freed, and what the CPU has in its caches, is of no use to
another. Other C libraries have no such settings and are left alone.
"""

import contextlib
import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEPT_BYTES = 64 * 1024 * 1024
_MAX_HEAP_BUFFER_BYTES = 32 * 1024 * 1024  # the most that glibc accepts
# Larger buffers are mappings of their own, so that they go back as they are: within the heap, a freed tensor
# of ONNX Runtime leaves a hole that another of the same size, for its alignment, does not fit into. A few of
# these shall not be missed.
_HEAP_BUFFER_SHARE = 64


def keep_freed_memory(memory_bytes: int) -> bool:
    """Let freed buffers stay with the process, 64 MB in all, for any thread; False where that cannot be.

    Buffers of up to 32 MB do, or of a 64th of the `memory_bytes` that the process may use.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    heap_buffer_bytes = min(_MAX_HEAP_BUFFER_BYTES, memory_bytes // _HEAP_BUFFER_SHARE)
    options = {_M_TRIM_THRESHOLD: _KEPT_BYTES, _M_MMAP_THRESHOLD: heap_buffer_bytes, _M_ARENA_MAX: 1}
    return all(mallopt(option, value) for option, value in options.items())


def give_back_freed_memory() -> None:
    """Return what is freed, and lies between what is in use, to the kernel: about a millisecond for 10 MB."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
