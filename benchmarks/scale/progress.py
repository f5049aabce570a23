"""How far it is, with the time and the seconds since the start: who waits for hours wants to see it move."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STEP_SECONDS = 10.0
_STARTED_AT = time.perf_counter()


def tell(text: str) -> None:
    """Say how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {time.perf_counter() - _STARTED_AT:6.0f} s  {text}", flush=True)


@contextlib.asynccontextmanager
async def saying(how_far: Callable[[], str]) -> AsyncIterator[None]:
    """Say it again and again meanwhile."""

    async def say() -> None:
        while True:
            await asyncio.sleep(STEP_SECONDS)
            tell(f"  {how_far()}")

    task = asyncio.create_task(say())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
