"""A number of clients that changes, each asking without a pause, each request on a connection of its own.

So there are always as many requests under way as there are clients, and new pods get their share at once.
"""

import asyncio
import threading
import time
from collections.abc import Coroutine
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

REQUEST_SECONDS = 60


class Clients:
    """Clients in a thread; `answered` holds (when, seconds) of each answer, `failures` what went wrong."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        self._url, self._body = url, body
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._running: list[asyncio.Task[None]] = []
        self.answered: list[tuple[float, float]] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_error: type[BaseException] | TracebackType | BaseException | None) -> None:
        self.set_count(0)
        self._call(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def count(self) -> int:
        """How many clients there are."""
        return len(self._running)

    def set_count(self, count: int) -> None:
        """So many from now on; those that leave wait for their answer."""
        self._call(self._set_count(count))

    def ask_at_once(self, count: int, body: dict[str, Any]) -> None:
        """So many further requests at the same moment; return when all have ended."""
        self._call(self._ask_at_once(count, body))

    async def _open(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def _set_count(self, count: int) -> None:
        while len(self._running) < count:
            self._running.append(asyncio.create_task(self._keep_asking()))
        leaving, self._running = self._running[count:], self._running[:count]
        await asyncio.gather(*leaving)

    async def _ask_at_once(self, count: int, body: dict[str, Any]) -> None:
        await asyncio.gather(*(self._ask(body) for _ in range(count)))

    async def _keep_asking(self) -> None:
        task = asyncio.current_task()
        while task in self._running:
            await self._ask(self._body)

    async def _ask(self, body: dict[str, Any]) -> None:
        started = time.time()
        try:
            async with self._session.post(self._url, json=body) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(repr(error))
            return
        if answer.status == HTTPStatus.OK:
            self.answered.append((time.time(), time.time() - started))
        else:
            self.failures.append(f"{answer.status}: {text[:200]}")

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()
