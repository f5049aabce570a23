"""A request's body as it comes in: kept as it is, joined in place, or read straight into its memory.

A large body of announced length is received by ``DirectReceiver``: the kernel writes into the body's own
buffer, which the tensors then lie in, so no byte is copied twice.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from modelservice_runtime.server.http import Buffer, RequestHead
from modelservice_runtime.server.pieces import extend_unwritten

# Below this, what is still to come is likely to be here already, or soon.
MIN_DIRECT_BYTES = 64 * 1024
# Room for a body is made for this many times of what has come: nobody gets memory for a mere announcement.
_GROWTH = 16
_ALIGNMENT = 16  # also malloc's


class TooMuchBufferedError(Exception):
    """The bodies of all connections together exceed the limit."""


class RequestBody:
    """One body; ``size_bytes`` counts what has come.

    ``reserve`` accounts for bytes that are held longer than one packet; it may raise TooMuchBufferedError.
    """

    __slots__ = ("_content", "_padding", "_reserve", "size_bytes")

    def __init__(self, reserve: Callable[[int], None]) -> None:
        self._reserve = reserve
        self._content: Buffer = b""
        self._padding = 0
        self.size_bytes = 0

    def finish(self) -> Buffer:
        """All bytes, once the last one has come; they are not kept here."""
        content, self._content = self._content, b""
        return content[self._padding :] if isinstance(content, memoryview) else content

    def discard(self) -> None:
        """Forget what has come."""
        self._content = b""

    def append(self, piece: bytes) -> None:
        """Add a piece; a first one is kept as it is. Raises TooMuchBufferedError."""
        self.size_bytes += len(piece)
        if not self._content:
            self._content = piece
            return
        if isinstance(self._content, bytes):
            self._reserve(len(self._content))
            self._content = bytearray(self._content)
        self._reserve(len(piece))
        assert isinstance(self._content, bytearray)
        self._content += piece

    def room(self, total_bytes: int, padding_bytes: int | None) -> memoryview:
        """Memory for the next bytes of a body of ``total_bytes``, never empty before it is complete.

        With ``padding_bytes`` the body begins so far behind an aligned address, and ``finish`` gives a view.
        Raises TooMuchBufferedError.
        """
        received = self.size_bytes
        if isinstance(self._content, bytes):
            self.begin(self._content, total_bytes, padding_bytes)
        elif len(self._content) == self._padding + received:
            self._grow(min(total_bytes - received, received * (_GROWTH - 1)))
        return memoryview(self._content)[self._padding + received :]

    def begin(self, piece: bytes | memoryview, total_bytes: int, padding_bytes: int | None) -> None:
        """Make room for more of a body of which ``piece`` is the beginning. Raises TooMuchBufferedError."""
        self.size_bytes = len(piece)
        capacity = min(total_bytes, self.size_bytes * _GROWTH)
        self._reserve(capacity)
        if padding_bytes is None:
            self._content = bytearray(piece)
            extend_unwritten(self._content, capacity - len(piece))
        else:
            self._content = view = np.empty(padding_bytes + capacity, np.uint8).data
            view[padding_bytes : padding_bytes + len(piece)] = piece
            self._padding = padding_bytes

    def _grow(self, added_bytes: int) -> None:
        self._reserve(added_bytes)
        if isinstance(self._content, bytearray):
            extend_unwritten(self._content, added_bytes)
        else:
            used = len(self._content)
            grown = np.empty(used + added_bytes, np.uint8).data
            grown[:used] = self._content
            self._content = grown


def padding_bytes(headers: Mapping[bytes, bytes]) -> int | None:
    """How far behind an aligned address a body has to begin so that the tensors in it are aligned.

    Binary tensors follow the JSON, whose length a header tells; numbers at odd addresses would be copied.
    None where there are no such tensors.
    """
    length = headers.get(b"inference-header-content-length", b"")
    return -int(length) % _ALIGNMENT if length.isdigit() and len(length) < 20 else None


class BodyOwner(Protocol):
    """The connection that a body arrives on."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.BaseProtocol``."""

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""

    def resume_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""

    def eof_received(self) -> bool:
        """See ``asyncio.Protocol``."""

    def body_refused(self) -> None:
        """There is no room for more of the body."""


class Receiver(asyncio.BufferedProtocol):
    """Stands in for a connection as its transport's protocol; what it does not read itself it passes on."""

    def __init__(self, owner: BodyOwner) -> None:
        self._owner = owner

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on."""
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Passed on."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._owner.resume_writing()


# What is in it is passed on before anybody else reads.
_READ_BUFFER = memoryview(bytearray(MIN_DIRECT_BYTES))


class SmallReads(Receiver):
    """Between large bodies: takes little of the next one before it is read straight into its memory.

    By itself asyncio passes on whatever has come as one object, which has to be copied to where the body is.
    """

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes go."""
        return _READ_BUFFER

    def buffer_updated(self, size_bytes: int) -> None:
        """Passed on."""
        self._owner.data_received(bytes(_READ_BUFFER[:size_bytes]))

    def eof_received(self) -> bool:
        """Passed on."""
        return self._owner.eof_received()


class DirectReceiver(Receiver):
    """Reads until the body is complete."""

    def __init__(
        self,
        owner: BodyOwner,
        body: RequestBody,
        head: RequestHead,
        complete: Callable[[], None],
    ) -> None:
        super().__init__(owner)
        self._body = body
        self._total_bytes = head.body_bytes
        self._padding_bytes = padding_bytes(head.headers)
        self._complete = complete
        self._refused = False

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Where the next bytes go; after a refusal to nowhere."""
        if not self._refused:
            try:
                return self._body.room(self._total_bytes, self._padding_bytes)
            except TooMuchBufferedError:
                self._refused = True
        return memoryview(bytearray(MIN_DIRECT_BYTES))

    def buffer_updated(self, size_bytes: int) -> None:
        """Count what came."""
        if self._refused:
            self._owner.body_refused()
            return
        self._body.size_bytes += size_bytes
        if self._body.size_bytes == self._total_bytes:
            self._complete()

    def eof_received(self) -> bool:
        """A body cut short is of no use."""
        return False
