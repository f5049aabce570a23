"""Work that would keep the event loop from everybody else: a thread does it, and tells the loop.

zlib lets go of the interpreter while it works, and large arrays of numbers are parsed in pieces, so other
requests have their turn meanwhile. A hop to a thread and back takes some 100 us, so small work stays where it
is.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from modelservice_runtime.execution.statistics import Timing
from modelservice_runtime.tensors import Array

# About a millisecond of inflating, parsing or deflating.
LARGE_BYTES = 128 * 1024
# What is compressed may become a thousand times larger (deflate's limit is 1032).
MAX_COMPRESSED_HERE_BYTES = LARGE_BYTES // 1024
# Numbers that become JSON in about a millisecond.
LARGE_VALUES = 32 * 1024
# One thread at a time is busy with one client's large body; a second keeps the next client from waiting.
_THREADS = 2

Result = TypeVar("Result")


class LateAnswer(Generic[Result]):
    """In place of an answer that takes long to write: `write` makes it, on any thread.

    `timing` tells where the request spent its time so far; whoever has it written knows.
    """

    __slots__ = ("timing", "write")

    def __init__(self, write: Callable[[], Result]) -> None:
        self.write = write
        self.timing = Timing()


_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="offload")


def start_threads() -> None:
    """Start the threads now: later there may be no memory for them."""
    together = threading.Barrier(_THREADS)
    for started in [_executor.submit(together.wait) for _ in range(_THREADS)]:
        started.result()


def write_late_where_large(
    encode: Callable[[Sequence[Array]], Result], outputs: Sequence[Array]
) -> Result | LateAnswer[Result]:
    """The answer; a thread is to write it where the outputs have many values."""
    if sum([output.size for output in outputs]) < LARGE_VALUES:
        return encode(outputs)
    return LateAnswer(partial(encode, outputs))


def offload(work: Callable[[], Result], done: Callable[[asyncio.Future[Result]], None]) -> None:
    """Run `work` on a thread; `done` is called on the event loop with the finished future."""
    asyncio.get_running_loop().run_in_executor(_executor, work).add_done_callback(done)
