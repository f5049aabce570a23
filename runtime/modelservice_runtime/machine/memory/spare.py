"""Room for what is about to be made: libraries that find none end the process, so it is looked for before."""

from collections.abc import Callable

import numpy as np

# What is large leaves as much again for everything small, which must never fail.
_MAX_SPARE_BYTES = 4 * 1024 * 1024

_give_back: Callable[[], None] | None = None


def give_back_where_short(give_back: Callable[[], None] | None) -> None:
    """Before there is said to be no room, call this: it returns memory that is kept and not used."""
    global _give_back  # noqa: PLW0603 - a process has one memory
    _give_back = give_back


def ensure_room(size_bytes: int) -> None:
    """Raise MemoryError unless the process may have so much more memory; on any thread."""
    wanted_bytes = size_bytes + min(size_bytes, _MAX_SPARE_BYTES)
    try:
        np.empty(wanted_bytes, np.uint8)
    except MemoryError:
        if _give_back is None:
            raise
        _give_back()
        np.empty(wanted_bytes, np.uint8)
