"""How the C library's allocator treats large buffers: it keeps them for the next request.

By default glibc gives buffers of megabytes back to the kernel when they are freed and gets new pages, one
fault each, for the next request. For a body of 3 MB the faults took longer than parsing it. Other C libraries
have no such setting and are left alone.
"""

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 64 * 1024 * 1024
_HEAP_BUFFER_BYTES = 32 * 1024 * 1024  # the most that glibc accepts


def keep_freed_memory() -> bool:
    """Let freed memory of up to 64 MB stay with the process; False where that cannot be set."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _HEAP_BUFFER_BYTES))
