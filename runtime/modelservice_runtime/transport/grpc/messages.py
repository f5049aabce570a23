"""From the bytes of a stream to its messages: length prefixes, limits, compression."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelservice_runtime.errors import PayloadTooLargeError, ServingError
from modelservice_runtime.machine.memory.spare import ensure_room
from modelservice_runtime.transport.content_encoding import decode_body
from modelservice_runtime.transport.status import GrpcError, GrpcStatus

if TYPE_CHECKING:
    from modelservice_runtime.transport.http import Buffer

PREFIX_BYTES = 5
# Smaller pieces are joined as they come, so that crumbs do not cost an object each.
_MIN_PIECE_BYTES = 1024
# It takes its memory twice for a moment, which is looked for before: the next packets need some, too.
_MIN_LARGE_BYTES = 1024 * 1024


class MessageReader:
    """Cuts a stream into messages.

    `reserve` counts bytes of an incomplete message and says whether there is room; `release` gives them
    back. `received_bytes` is how much of the incomplete message is here. `is_compressed` tells whether
    the last message that `read` gave still has to be inflated.
    """

    __slots__ = (
        "_encoding",
        "_left",
        "_max_bytes",
        "_pieces",
        "_prefix",
        "_release",
        "_reserve",
        "is_compressed",
        "received_bytes",
    )

    def __init__(
        self,
        encoding: bytes,
        max_bytes: int,
        reserve: Callable[[int], bool],
        release: Callable[[int], None],
    ) -> None:
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._reserve = reserve
        self._release = release
        self._prefix = b""
        self.is_compressed = False
        self._left = 0
        self._pieces: list[Buffer] = []
        self.received_bytes = 0

    @property
    def is_within_message(self) -> bool:
        """A message has begun and is not complete."""
        return bool(self._prefix)

    def read(self, data: bytes, start: int, stop: int) -> tuple[bytes | None, int]:
        """The next message that `data[start:stop]` completes, and the position behind it.

        Raises GrpcError.
        """
        if len(self._prefix) < PREFIX_BYTES:
            behind = min(start + PREFIX_BYTES - len(self._prefix), stop)
            self._prefix += data[start:behind]
            start = behind
            if len(self._prefix) < PREFIX_BYTES:
                return None, start
            self._begin()
        size = min(self._left, stop - start)
        self._left -= size
        if not self._left:
            return self._complete(data[start : start + size]), start + size
        self._collect(data, start, stop)
        return None, stop

    def discard(self) -> None:
        """Forget the incomplete message."""
        self._release(self.received_bytes)
        self.received_bytes = 0
        self._prefix = b""
        self._pieces = []

    def _begin(self) -> None:
        flag = self._prefix[0]
        if flag > 1:
            raise GrpcError(GrpcStatus.INTERNAL, "a message's first byte must be 0 or 1")
        if flag and not self._encoding:
            raise GrpcError(GrpcStatus.INTERNAL, "a compressed message without grpc-encoding")
        self.is_compressed = bool(flag)
        self._left = int.from_bytes(self._prefix[1:])
        if self._left > self._max_bytes:
            raise GrpcError(
                GrpcStatus.RESOURCE_EXHAUSTED,
                f"the message has {self._left} bytes; the limit is {self._max_bytes} bytes",
            )

    def _collect(self, data: bytes, start: int, stop: int) -> None:
        size = stop - start
        if not self._reserve(size):
            raise GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, "the server's buffers are full; try again later")
        self.received_bytes += size
        if size >= _MIN_PIECE_BYTES:
            # A view keeps the whole packet alive: only where that is not much more.
            is_most = 2 * size >= len(data)
            self._pieces.append(memoryview(data)[start:stop] if is_most else data[start:stop])
        elif self._pieces and isinstance(self._pieces[-1], bytearray):
            self._pieces[-1] += data[start:stop]
        else:
            self._pieces.append(bytearray(data[start:stop]))

    def _complete(self, last: bytes) -> bytes:
        if not self._pieces:
            self.discard()
            return last
        if self.received_bytes >= _MIN_LARGE_BYTES:
            ensure_room(self.received_bytes)
        message = b"".join([*self._pieces, last])
        self.discard()
        return message

    def inflate(self, message: bytes) -> bytes:
        """Decompress a message; safe on any thread. Raises GrpcError."""
        try:
            return bytes(decode_body(message, self._encoding, self._max_bytes))
        except PayloadTooLargeError as error:
            raise GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, str(error)) from None
        except ServingError as error:
            raise GrpcError(GrpcStatus.INTERNAL, str(error)) from None
        except MemoryError:
            raise GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, "there is no memory for this message") from None
