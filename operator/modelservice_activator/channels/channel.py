"""A TCP connection that holds at most one unread read of the kernel, and one full buffer of what is written.

asyncio's streams read ahead up to half a megabyte. Here a thousand requests wait at a time, and what their
clients still have to say can wait in the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

READ_BYTES = 64 * 1024
"""The most that one read brings. Larger ones are no faster."""
WRITE_BUFFER_BYTES = 64 * 1024
"""Above it `drain` waits."""
LINGER_SECONDS = 2.0
"""How long a client that still sends may take to read its answer before it is cut off."""
LINGER_READS = 256
KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""A peer that is gone without a word is found within 30 s: nodes die, and addresses of pods with them."""
UNACKNOWLEDGED_MILLISECONDS = 120_000
"""The same for one that is gone while we write, or takes nothing (TCP_USER_TIMEOUT): pods may be busy."""

_SCRATCH = memoryview(bytearray(READ_BYTES))
"""Where the kernel puts what is read, for every connection: it is copied out before the next read."""


class Channel(asyncio.BufferedProtocol):
    """One connection. `read` returns b"" at the peer's end; all else that ends it is a ConnectionError.

    A peer that takes next to nothing of what is written for `stall_seconds` is cut off; None: it is not.
    """

    def __init__(self, stall_seconds: float | None = None) -> None:
        self._transport: asyncio.Transport | None = None
        self._stall_seconds = stall_seconds
        self._unread = b""
        self._at_end = False
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        opened = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # gone already: the next read says so
            # asyncio does so for some sockets only; the last part of an answer would wait for 40 ms.
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                opened.setsockopt(socket.IPPROTO_TCP, option, value)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MILLISECONDS)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio's
        """Where to read to."""
        return _SCRATCH

    def buffer_updated(self, nbytes: int) -> None:
        """Keep what was read; read no more before somebody takes it."""
        self._unread += bytes(_SCRATCH[:nbytes])
        if self._reader is None:
            self.stop_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        """The peer's end; our side stays open."""
        self._at_end = True
        self._wake_reader()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """The end of both sides."""
        self._closed.set()
        self._writable.set()
        self._wake_reader()

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable.set()

    # What we call.

    @property
    def transport(self) -> asyncio.Transport:
        """The connection; there is one from `connection_made` on."""
        assert self._transport is not None
        return self._transport

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed.is_set()

    @property
    def socket(self) -> socket.socket:
        """The socket, for what asyncio does not do."""
        return cast("socket.socket", self.transport.get_extra_info("socket"))

    async def read(self) -> bytes:
        """Return what has come, at most about `READ_BYTES`; b"" at the peer's end."""
        if not self._unread and not self._at_end:
            await self._wait_for_more()
        data, self._unread = self._unread, b""
        if not data and not self._at_end:
            raise ConnectionResetError("the connection is gone")
        return data

    def stop_reading(self) -> None:
        """Leave what comes to the kernel until `read` is called."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Write, or nothing where the connection is gone: `drain` and `read` say so."""
        if data and not self.is_closed and not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait for room in the write buffer; a peer that reads nothing for too long is cut off."""
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(self._stall_seconds):
                    await self._writable.wait()
            except TimeoutError:
                self.abort()
                raise ConnectionAbortedError("the peer reads nothing") from None
        if self.is_closed:
            raise ConnectionResetError("the connection is gone")

    def write_end(self) -> None:
        """Close our side behind what is written; the peer may go on."""
        if not self.is_closed and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def abort(self) -> None:
        """End both sides at once; the peer sees a reset where something was unread or unsent."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """End both sides so that the peer cannot take what it got for a whole answer."""
        if not self.is_closed:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.abort()

    async def close_gently(self) -> None:
        """Close behind what is written, once the peer has had the time to read it.

        A socket closed with something unread resets the connection, and the answer may be lost with it.
        """
        with contextlib.suppress(ConnectionError, TimeoutError):
            if not self.is_closed:
                self.transport.set_write_buffer_limits(high=0)
            await self.drain()
            self.write_end()
            async with asyncio.timeout(LINGER_SECONDS):
                for _ in range(LINGER_READS):
                    if not await self.read():
                        break
        self.abort()

    async def _wait_for_more(self) -> None:
        if self.is_closed:
            return
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


async def connect(address: str, port: int, timeout_seconds: float) -> Channel:
    """Open a connection; raises OSError (TimeoutError among them) where there is none in time."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_seconds):
        _, channel = await loop.create_connection(Channel, address, port)
    return channel
