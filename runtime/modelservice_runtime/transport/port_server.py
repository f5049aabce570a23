"""Listening, the clock, and the end of a server's life; the same for every protocol."""

import asyncio
import logging
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

from modelservice_runtime.transport.listener import Listener, open_listener
from modelservice_runtime.transport.tls import TlsContext

log = logging.getLogger(__name__)

# One in so many connections is closed to make room.
_CLOSED_SHARE = 32
# Of few files neither probes nor refusals get more than this share.
_EXTRA_SHARE = 4
_MIN_CONNECTIONS = 4
# Handshakes that are not connections yet, as a share of those.
_HANDSHAKE_SHARE = 4
_FULL_LOG_SECONDS = 60.0
# So long may the end of a stream that is cut off take to reach its client.
_LAST_WORDS_SECONDS = 1.0
# Clients that came together shall not leave together.
_AGE_SPREAD = 0.1
# Of connections that are made while the port closes. gRPC repeats a call once that met a connection's end:
# one that lived for a single call would end again under the repeated one.
_CLOSING_AGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Places:
    """The connections that a port may have; the names are those of the protocols' limits.

    Beyond `max_connections`: so many that may say whether they are probes, and so many that have their
    answer, or are turned away, and linger until they have read it; of those the first leave for new ones.
    """

    max_connections: int
    probe_places: int = 16
    refusal_places: int = 48

    @property
    def files(self) -> int:
        """Files that the port may have open."""
        handshakes = self.max_connections // _HANDSHAKE_SHARE
        return self.max_connections + handshakes + self.probe_places + self.refusal_places


def places_within(files: int, wanted: Places) -> Places:
    """The places that a port may have with so many files; at least a few, come what may."""
    most = max(files // _EXTRA_SHARE, 1)
    probes, refusals = min(wanted.probe_places, most), min(wanted.refusal_places, most)
    room = files - probes - refusals
    fitting = ((room + 1) * _HANDSHAKE_SHARE - 1) // (_HANDSHAKE_SHARE + 1)
    return Places(min(max(fitting, _MIN_CONNECTIONS), wanted.max_connections), probes, refusals)


class Place(Enum):
    """What a new connection may do."""

    REGULAR = auto()
    PROBE = auto()
    """Ask whether the server lives or is ready, and nothing else."""
    REFUSAL = auto()
    """Hear that there are too many."""
    NONE = auto()
    """Be closed at once."""


class PortLimits(Protocol):
    """What every protocol's limits hold; times are seconds."""

    @property
    def max_connections(self) -> int:
        """Connections at once; beyond it idle ones are closed, or new ones turned away."""

    @property
    def probe_places(self) -> int:
        """See `Places`."""

    @property
    def refusal_places(self) -> int:
        """See `Places`."""

    @property
    def sweep_seconds(self) -> float:
        """Between two looks at the clock and at every connection."""

    @property
    def idle_timeout_seconds(self) -> float:
        """How long a connection may wait for a request."""

    @property
    def max_connection_age_seconds(self) -> float | None:
        """When a client is asked to connect anew, more or less; None: never."""


class ServedConnection(Protocol):
    """What a server asks of its connections."""

    @property
    def idle_until(self) -> float | None:
        """Until when, in the loop's time, it may wait for a request; None while there is one."""

    def check_deadline(self, now: float) -> None:
        """End what takes too long; called at every sweep with the loop's time."""

    def close_when_idle(self) -> None:
        """Close now, or behind what is in flight."""

    def say_last(self) -> bool:
        """The time is up: end what can be ended in order; False where nothing can."""

    def abort(self) -> None:
        """Close at once."""


class Buffers:
    """Counts the bytes of requests, and of answers on their way, that servers hold together."""

    __slots__ = ("held_bytes", "withheld_bytes")

    def __init__(self) -> None:
        self.held_bytes = 0
        self.withheld_bytes = 0

    @property
    def in_use(self) -> bool:
        """Whether any request or answer is held."""
        return self.held_bytes > self.withheld_bytes

    def withhold(self, size_bytes: int) -> None:
        """Let all requests and answers have so much less: there is no memory for it."""
        self.withheld_bytes += size_bytes
        self.held_bytes += size_bytes


ConnectionT = TypeVar("ConnectionT", bound=ServedConnection)


class PortServer(ABC, Generic[ConnectionT]):
    """Accepts connections and ends them.

    `now` is the loop's time at the last sweep: exact enough for timeouts of seconds, and free to read.
    """

    def __init__(self, limits: PortLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time()
        self.buffers = Buffers()
        self.closing = False
        self.call_soon = loop.call_soon
        self.connections: set[ConnectionT] = set()
        # Aborted to make room, and not reported as lost yet.
        self._evicted: set[ConnectionT] = set()
        # Beyond the limit, in the order in which they came: those that may ask, and those that leave.
        self._asking: dict[ConnectionT, None] = {}
        self._leaving: dict[ConnectionT, None] = {}
        self._max_connections = limits.max_connections
        self._probe_places = limits.probe_places
        self._refusal_places = limits.refusal_places
        self._idle_timeout_seconds = limits.idle_timeout_seconds
        self._max_age_seconds = limits.max_connection_age_seconds
        self._full_log_at = 0.0
        self._sweep_seconds = limits.sweep_seconds
        self._listener: Listener | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def buffered_bytes(self) -> int:
        """What all connections hold: of this server, and of those that share its `buffers`."""
        return self.buffers.held_bytes

    @buffered_bytes.setter
    def buffered_bytes(self, held_bytes: int) -> None:
        self.buffers.held_bytes = held_bytes

    @abstractmethod
    def make_connection(self) -> asyncio.Protocol:
        """A connection that calls `opened` when it is made and `closed` when it is lost."""

    async def listen(
        self, host: str, port: int, tls: TlsContext | None = None, *, shared: bool = False
    ) -> int:
        """Start accepting; returns the port, which the kernel chooses for 0.

        `shared` lets other processes listen on it too. Raises AddressUnavailableError.
        """
        handshakes = max(self._max_connections // _HANDSHAKE_SHARE, 1)
        self._listener = await open_listener(
            self.loop, self.make_connection, host, port, tls, shared=shared, max_handshakes=handshakes
        )
        self._tick()
        return self._listener.port

    def start_closing(self) -> None:
        """Ask clients to go elsewhere; new connections are still served."""
        self.closing = True

    async def drain(self, timeout_seconds: float) -> bool:
        """Stop accepting, wait for the requests in flight, close everything.

        Returns False when the timeout cut requests off.
        """
        self.closing = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self.connections):
            self._guard(connection, connection.close_when_idle)
        try:
            await asyncio.wait_for(self._wait_until_empty(), timeout_seconds)
        except TimeoutError:
            was_idle = self.is_idle
            await self._cut_off()
            return was_idle
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
        return True

    async def _cut_off(self) -> None:
        """End every connection, those that can say why a moment later."""
        speakers = [one for one in list(self.connections) if self._lets_say_last(one)]
        for connection in self.connections.difference(speakers):
            connection.abort()
        if speakers:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wait_until_empty(), _LAST_WORDS_SECONDS)
        for connection in list(self.connections):
            connection.abort()

    def _lets_say_last(self, connection: ConnectionT) -> bool:
        try:
            return connection.say_last()
        except Exception:
            log.exception("internal error with a connection")
            return False

    @property
    def is_idle(self) -> bool:
        """No request is in flight."""
        return not self.connections

    def opened(self, connection: ConnectionT) -> Place:
        """Register a connection and say what it may do, now that there are so many."""
        if self._surplus() >= 0:
            self._make_room()
        self.connections.add(connection)
        if self._surplus() <= 0:
            return Place.REGULAR
        if len(self._asking) < self._probe_places:
            self._asking[connection] = None
            return Place.PROBE
        if len(self._leaving) < self._refusal_places:
            self._leaving[connection] = None
            return Place.REFUSAL
        return Place.NONE

    def answered(self, connection: ConnectionT) -> None:
        """Let a connection that was allowed to ask leave its place to the next one."""
        self._asking.pop(connection, None)
        self._leaving[connection] = None
        if len(self._leaving) > self._refusal_places:
            self._evict(next(iter(self._leaving)))

    def closed(self, connection: ConnectionT) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        self._evicted.discard(connection)
        self._asking.pop(connection, None)
        self._leaving.pop(connection, None)
        if not self.connections:
            self._empty.set()

    def _evict(self, connection: ConnectionT) -> None:
        connection.abort()
        self._asking.pop(connection, None)
        self._leaving.pop(connection, None)
        self._evicted.add(connection)

    def sweep(self) -> None:
        """Look at the clock and at every connection."""
        self.now = self.loop.time()
        for connection in list(self.connections):
            self._guard(connection, partial(connection.check_deadline, self.now))

    def _guard(self, connection: ConnectionT, act: Callable[[], None]) -> None:
        """The last boundary: a fault with one connection ends it, and neither the others nor the clock."""
        try:
            act()
        except Exception:
            log.exception("internal error with a connection")
            connection.abort()

    def age_limit(self) -> float:
        """When, in the loop's time, a connection made now shall be left; infinite without a limit."""
        most = math.inf if self._max_age_seconds is None else self._max_age_seconds
        age_seconds = min(most, _CLOSING_AGE_SECONDS) if self.closing else most
        spread = random.uniform(-_AGE_SPREAD, _AGE_SPREAD)  # noqa: S311 - no secret
        return self.loop.time() + age_seconds * (1 + spread)

    def _surplus(self) -> int:
        """Connections above the limit; negative while there is room."""
        others = len(self._evicted) + len(self._asking) + len(self._leaving)
        return len(self.connections) - others - self._max_connections

    def _make_room(self) -> None:
        """Close what has been idle for longest: clients that say nothing shall not keep others out.

        A share of all at once, because looking at every connection takes a millisecond. Who was idle for
        less than two looks at the clock may be about to send, and keeps its place.
        """
        latest = self.loop.time() + self._idle_timeout_seconds - 2 * self._sweep_seconds
        waits = [(connection.idle_until, connection) for connection in self.connections]
        idle = [(until, connection) for until, connection in waits if until is not None and until <= latest]
        idle.sort(key=itemgetter(0))
        for _, connection in idle[: max(self._max_connections // _CLOSED_SHARE, 1)]:
            self._evict(connection)
        self._log_full(idle=len(idle))

    def _log_full(self, *, idle: int) -> None:
        """Say it now and then: while a port is full it is so with every new client."""
        now = self.loop.time()
        if now >= self._full_log_at:
            self._full_log_at = now + _FULL_LOG_SECONDS
            fields = {"connections": len(self.connections), "idle": idle}
            log.warning("all connections are taken; new ones take the place of idle ones", extra=fields)

    async def _wait_until_empty(self) -> None:
        while self.connections:
            self._empty.clear()
            await self._empty.wait()

    def _tick(self) -> None:
        self.sweep()
        self._sweeper = self.loop.call_later(self._sweep_seconds, self._tick)
