"""The line between a parent and its worker: JSON objects, one a line, over a socket pair."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import orjson


class Link(asyncio.Protocol):
    """One end. `on_message` gets every object, `on_lost` is called once when the other end has gone."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._unread = b""
        self._transport: Any = None
        self._lost = asyncio.Event()

    @classmethod
    async def open(
        cls, end: socket.socket, on_message: Callable[[dict[str, Any]], None], on_lost: Callable[[], None]
    ) -> "Link":
        """Speak over `end` of a socket pair from now on."""
        link = cls(on_message, on_lost)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=end)
        return link

    def send(self, message: dict[str, Any]) -> None:
        """Send an object; nothing happens where the other end has gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS) + b"\n")

    async def close(self) -> None:
        """End the line once everything is sent; `on_lost` is called on both ends."""
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._on_message(orjson.loads(line))

    def connection_lost(self, _error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._lost.set()
        self._on_lost()
