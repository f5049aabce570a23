"""What header blocks mean: decoded, and kept where clients repeat them.

A block that changes no table means the same until another one does, and clients send the same few indices
with every call.
"""

from collections.abc import Callable
from typing import Any

from modelservice_runtime.transport.http2.framing.errors import ConnectionFailedError, ErrorCode
from modelservice_runtime.transport.http2.headers.hpack import Header, HeaderDecoder, HpackError

# Clients repeat a few blocks of a few bytes each; more is not worth its memory.
_MAX_KNOWN_BLOCKS = 16
_MAX_KNOWN_BLOCK_BYTES = 512
_MAX_KNOWN_LIST_BYTES = 2048


class HeadBlocks:
    """The blocks of one connection, in the order of their arrival.

    `known` holds what `parse_head` made of a request's block. None stands for headers over the limit.
    """

    __slots__ = ("_decoder", "_parse_head", "_seen", "known")

    def __init__(self, max_list_bytes: int, parse_head: Callable[[list[Header] | None], Any]) -> None:
        self._decoder = HeaderDecoder(max_list_bytes)
        self._parse_head = parse_head
        self._seen: set[bytes] = set()
        self.known: dict[bytes, Any] = {}

    def decode(self, block: bytes) -> list[Header] | None:
        """The headers of any block: whichever moved the table, what was known holds no longer.

        Raises ConnectionFailedError.
        """
        generation = self._decoder.generation
        try:
            headers = self._decoder.decode(block)
        except HpackError as error:
            raise ConnectionFailedError(ErrorCode.COMPRESSION_ERROR, str(error)) from None
        if generation != self._decoder.generation:
            self.known.clear()
            self._seen.clear()
        return headers

    def parse(self, block: bytes, headers: list[Header] | None) -> Any:
        """What the application makes of the block that was decoded last; raises StreamFailedError."""
        head = self._parse_head(headers)
        if block in self._seen:
            self._keep(block, headers, head)
        elif len(block) <= _MAX_KNOWN_BLOCK_BYTES:
            if len(self._seen) >= _MAX_KNOWN_BLOCKS:
                self._seen.clear()
            self._seen.add(block)
        return head

    def _keep(self, block: bytes, headers: list[Header] | None, head: Any) -> None:
        """Keep what a block means, the second time that it comes: many have a deadline of their own."""
        if headers is None or sum([len(n) + len(v) for n, v in headers]) > _MAX_KNOWN_LIST_BYTES:
            return
        if len(self.known) >= _MAX_KNOWN_BLOCKS:
            self.known.clear()
        self.known[block] = head
