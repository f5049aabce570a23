"""An event loop whose time passes only while nothing can be done: it jumps to the next timer.

For what waits for nothing but timers: hours pass at once, and a slow machine changes nothing.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_Arguments = ParamSpec("_Arguments")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Where a coroutine waits for a socket or a thread as well, its timers do not wait for them."""

    _ready: Any
    _scheduled: Any

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        """Seconds that have passed in here."""
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


def in_virtual_time(
    test: Callable[_Arguments, Coroutine[Any, Any, None]],
) -> Callable[_Arguments, None]:
    """Run a test on such a loop; tasks that are left are cancelled at its end."""

    @functools.wraps(test)
    def run(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*arguments, **named))

    return run
