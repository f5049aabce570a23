"""Work that would keep the event loop from everybody else: a thread does it, and tells the loop.

zlib lets go of the interpreter while it works, and large arrays of numbers are parsed in pieces, so other
requests have their turn meanwhile. A hop to a thread and back takes some 100 us, so small work stays where it
is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# About a millisecond of inflating, parsing or deflating.
LARGE_BYTES = 128 * 1024
# What is compressed may become a thousand times larger (deflate's limit is 1032).
MAX_COMPRESSED_HERE_BYTES = LARGE_BYTES // 1024
# One thread at a time is busy with one client's large body; a second keeps the next client from waiting.
_THREADS = 2

Result = TypeVar("Result")

_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="offload")


def offload(work: Callable[[], Result], done: Callable[[asyncio.Future[Result]], None]) -> None:
    """Run ``work`` on a thread; ``done`` is called on the event loop with the finished future."""
    asyncio.get_running_loop().run_in_executor(_executor, work).add_done_callback(done)
