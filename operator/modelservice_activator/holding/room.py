"""Counts what is held, of each service and in total, against limits. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from modelservice_activator.holding.refusals import full

if TYPE_CHECKING:
    from modelservice_activator.settings import HoldLimits
    from modelservice_activator.watching.services import Key


class Room:
    """The places for requests that wait, and for their bytes."""

    def __init__(self, limits: HoldLimits) -> None:
        self._limits = limits
        self._requests: Counter[Key] = Counter()
        self._bytes: Counter[Key] = Counter()
        self.requests = 0
        self.total_bytes = 0

    def enter(self, key: Key) -> None:
        """Take one request in; raises Refusal where there is no room."""
        if self.requests >= self._limits.requests or self._requests[key] >= self._limits.requests_per_service:
            raise full("requests")
        self._requests[key] += 1
        self.requests += 1

    def grow(self, key: Key, size_bytes: int) -> None:
        """Take in more bytes of a request that has entered; raises Refusal where there is no room."""
        limits = self._limits
        if (
            self.total_bytes + size_bytes > limits.total_bytes
            or self._bytes[key] + size_bytes > limits.bytes_per_service
        ):
            raise full("bytes of requests")
        self._bytes[key] += size_bytes
        self.total_bytes += size_bytes

    def leave(self, key: Key, size_bytes: int) -> None:
        """Let one request go, with all its bytes; services of which nothing is held are forgotten."""
        self._requests[key] -= 1
        self._bytes[key] -= size_bytes
        self.requests -= 1
        self.total_bytes -= size_bytes
        if not self._requests[key]:
            del self._requests[key], self._bytes[key]
