"""One connection of a client, and what whoever relays its requests needs to know and to tell."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelservice_activator.channels.channel import Channel
    from modelservice_activator.channels.departures import Departures
    from modelservice_activator.holding.holder import Holder
    from modelservice_activator.settings import ConnectionLimits
    from modelservice_activator.watching.services import Key


class Unfinished:
    """Counts the bytes of heads that are not complete, of all clients."""

    def __init__(self) -> None:
        self.total_bytes = 0


@dataclass(frozen=True, kw_only=True)
class Means:
    """What every request needs."""

    holder: Holder
    departures: Departures
    limits: ConnectionLimits
    connect_seconds: float
    unfinished: Unfinished = field(default_factory=Unfinished)


class Visit:
    """One connection, with or without a request on it."""

    def __init__(self, means: Means, channel: Channel, key: Key, port: str) -> None:
        self.means = means
        self.channel = channel
        self.key = key
        self.port = port
        """The name of the Service's port."""
        self.is_retired = False
        """Whether the client is to go elsewhere with its next request."""
        self.on_retire: Callable[[], None] | None = None
        self.closes_gently = False
        """Whether it ends because it was silent: what was written still goes out."""
        self._unfinished_bytes = 0
        self._resting_since = 0.0
        self._rest_seconds = 0.0
        self._retired_seconds = 0.0
        self.rest(means.limits.head_seconds)

    @property
    def is_resting(self) -> bool:
        """Whether the client asks for nothing just now, and is to ask for something in time."""
        return 0 < self._rest_seconds < math.inf

    def rest(self, seconds: float, retired_seconds: float | None = None) -> None:
        """The client has so much time for what comes next, and less where it should go elsewhere."""
        self._resting_since = asyncio.get_running_loop().time()
        self._rest_seconds = seconds
        least = self.means.limits.retired_idle_seconds if retired_seconds is None else retired_seconds
        self._retired_seconds = min(seconds, least)

    def keep(self, size_bytes: int) -> None:
        """Say how much of a head is kept that is not complete, 0 once it is.

        Raises ConnectionAbortedError where all clients together have begun too much.
        """
        more = size_bytes - self._unfinished_bytes
        self._unfinished_bytes = size_bytes
        self.means.unfinished.total_bytes += more
        if more > 0 and self.means.unfinished.total_bytes > self.means.limits.head_bytes:
            raise ConnectionAbortedError("too many heads that are not complete")

    def work(self) -> None:
        """There is a request."""
        self._rest_seconds = 0.0

    def is_overdue(self, now: float) -> bool:
        """Whether the client has taken too long for its next request."""
        most = self._retired_seconds if self.is_retired else self._rest_seconds
        return self._rest_seconds > 0 and now - self._resting_since > most

    def retire(self) -> None:
        """Send the client elsewhere, behind what it has asked for."""
        if self.is_retired:
            return
        self.is_retired = True
        if self.is_resting:
            self.rest(self._rest_seconds)
        if self.on_retire is not None:
            self.on_retire()
