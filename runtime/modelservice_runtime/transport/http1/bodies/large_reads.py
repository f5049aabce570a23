"""Reading large bodies from a connection: the kernel writes them to the memory that tensors then lie in.

asyncio passes on whatever has come as one object, which would have to be copied to where the body is.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import numpy as np

from modelservice_runtime.transport.http import RequestHead
from modelservice_runtime.transport.http1.bodies.body import (
    ALIGNMENT_BYTES,
    GROWTH,
    MIN_DIRECT_BYTES,
    RequestBody,
    TooMuchBufferedError,
    padding_bytes,
)

# What is in it is passed on before anybody else reads.
_READ_BUFFER = memoryview(bytearray(MIN_DIRECT_BYTES))


class BodyOwner(Protocol):
    """The connection that bodies arrive on."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""

    @property
    def waits_for_request(self) -> bool:
        """Nothing has come that is not answered."""

    def read_on(self) -> None:
        """Some of what was read is passed on: the rest comes before anything new, when its turn is."""

    def body_complete(self, head: RequestHead) -> None:
        """The last byte of a body is in its memory."""

    def body_refused(self) -> None:
        """There is no room for more of the body."""

    def repeated(self, head: RequestHead, content: memoryview, size_bytes: int) -> None:
        """A request with the same head as the last one begins, or is here: `content` is for its body."""


class LargeReads(asyncio.BufferedProtocol):
    """A connection's protocol from its first large body on.

    Between bodies it reads a little. Where a large request came with the head of an earlier one, it reads as
    much as such a request has: if the next one is the same but for the numbers, it comes in one piece, with
    its body in the right place.
    """

    def __init__(self, owner: BodyOwner) -> None:
        self._owner = owner
        self._body: RequestBody | None = None
        self._head: RequestHead | None = None
        self._refused = False
        # The head that is expected, the space before it, and the memory of a read under way.
        self._expected: tuple[bytes, RequestHead] | None = None
        self._offset = 0
        self._memory: memoryview | None = None
        # What was read at once and is not passed on yet; nothing more is read meanwhile.
        self._rest = memoryview(b"")
        self._goes_on = False

    def receive(self, body: RequestBody, head: RequestHead) -> None:
        """Read the rest of a body whose length the head tells."""
        self._body = body
        self._head = head
        self._refused = False

    def expect(self, start: bytes, head: RequestHead) -> None:
        """The next request may begin with these bytes again, which mean `head`."""
        padding = padding_bytes(head.headers)
        if padding is None:
            self._expected = None
        else:
            self._expected = start, head
            self._offset = (padding - len(start)) % ALIGNMENT_BYTES

    def stop(self) -> None:
        """There will be no more bodies."""
        self._body = self._expected = self._memory = None
        self._rest = memoryview(b"")

    def forget_unused(self) -> None:
        """Give up memory for a read that brought nothing, of which nobody tells; not within a read."""
        self._memory = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Passed on."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._owner.resume_writing()

    def eof_received(self) -> bool | None:
        """Passed on; a body cut short is of no use."""
        return self._owner.eof_received()

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes go."""
        if self._body is not None:
            return self._room(self._body)
        if self._expected is None or not self._owner.waits_for_request:
            return _READ_BUFFER
        start, head = self._expected
        size_bytes = self._offset + len(start) + head.body_bytes
        try:
            self._memory = np.empty(size_bytes, np.uint8).data[self._offset :]
        except MemoryError:
            self._expected = None
            return _READ_BUFFER
        return self._memory

    def buffer_updated(self, size_bytes: int) -> None:
        """Count what came, and look at what it is."""
        memory = self._memory
        if self._body is not None:
            self._count(self._body, size_bytes)
        elif memory is None:
            self._owner.data_received(bytes(_READ_BUFFER[:size_bytes]))
        else:
            self._memory = None
            self._take(memory, size_bytes)

    def _room(self, body: RequestBody) -> memoryview:
        if not self._refused and self._head is not None:
            try:
                return body.room(self._head.body_bytes, padding_bytes(self._head.headers))
            except TooMuchBufferedError:
                self._refused = True
        return _READ_BUFFER

    def _count(self, body: RequestBody, size_bytes: int) -> None:
        if self._refused:
            self._owner.body_refused()
            return
        body.size_bytes += size_bytes
        head = self._head
        if head is not None and body.size_bytes == head.body_bytes:
            self._body = self._head = None
            self._owner.body_complete(head)

    def _take(self, memory: memoryview, size_bytes: int) -> None:
        assert self._expected is not None
        start, head = self._expected
        length = len(start)
        # Nobody keeps memory for a mere announcement: a part of the body must have come.
        has_come = size_bytes > length and size_bytes * GROWTH >= len(memory)
        if has_come and bytes(memory[:length]) == start:
            self._owner.repeated(head, memory[length:], size_bytes - length)
        else:
            self._expected = None
            self._rest = memory[:size_bytes]
            self._go_on()

    @property
    def has_rest(self) -> bool:
        """More was read than is passed on."""
        return bool(self._rest)

    def go_on_soon(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Pass on more after others have had their turn."""
        if not self._goes_on:
            self._goes_on = True
            call_soon(self._go_on)

    def _go_on(self) -> None:
        """Pass on a little, as if no more had come yet."""
        self._goes_on = False
        if not self._rest:
            return
        buffer = _READ_BUFFER if self._body is None else self._room(self._body)
        size_bytes = min(len(buffer), len(self._rest))
        buffer[:size_bytes] = self._rest[:size_bytes]
        # An empty view would keep the memory of what is passed on.
        self._rest = self._rest[size_bytes:] if size_bytes < len(self._rest) else memoryview(b"")
        self.buffer_updated(size_bytes)
        self._owner.read_on()
