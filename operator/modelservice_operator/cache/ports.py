"""Which ports of the activator belong to which service: kept in the EndpointSlices, remembered here.

The slices of all services are the record, so a restart forgets nothing that is in use. What was promised to a
service and is not written yet is known here alone, which is enough: one process decides for all. Ports that
were given back are kept from others for a while: a node's rules, or an activator, may still know them. A
restart forgets that; so each service begins to look at a place of its own, where others hardly ever were.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

from modelservice_operator.facts.ports import GRPC_NAME, HTTP_NAME, STANDBY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modelservice_operator.cache.workqueue import Key

NAMES = (HTTP_NAME, GRPC_NAME)
"""The ports of one service, which follow each other."""
KEPT_BACK_SECONDS = 600.0
"""Watches of nodes and activators are never behind for longer: silent ones are begun anew before."""


class PortBook:
    """Promises ports; one pair for each service."""

    def __init__(self, ports: range = STANDBY, clock: Callable[[], float] = time.monotonic) -> None:
        self._ports = ports
        self._clock = clock
        self._places: dict[Key, int] = {}
        self._holders: dict[int, list[Key]] = {}
        """Who has a place, the first one by right: a second one comes of two leaders at the same moment."""
        self._freed: dict[int, tuple[Key, float]] = {}
        """Who had it last, and when it was given back."""

    @property
    def keys(self) -> tuple[Key, ...]:
        """The services that have ports, or were promised some."""
        return tuple(self._places)

    def note(self, key: Key, ports: Mapping[str, int]) -> None:
        """The slice of a service says that it has these ports."""
        place = self._place_of(ports)
        if key not in self._places and place is not None:
            self._give(key, place)

    def offer(self, key: Key) -> Mapping[str, int] | None:
        """Return the ports of a service, the same every time; None where none is free."""
        place = self._places.get(key)
        if place is not None and self._holders[place][0] != key:
            self.release(key)
            place = None
        if place is None:
            place = self._find(key)
            if place is None:
                return None
            self._give(key, place)
        first = self._ports[0] + place * len(NAMES)
        return {name: first + index for index, name in enumerate(NAMES)}

    def release(self, key: Key) -> None:
        """The service needs them no more."""
        place = self._places.pop(key, None)
        if place is None:
            return
        holders = self._holders[place]
        holders.remove(key)
        if not holders:
            del self._holders[place]
            self._freed[place] = key, self._clock()

    def _give(self, key: Key, place: int) -> None:
        self._places[key] = place
        self._holders.setdefault(place, []).append(key)
        self._freed.pop(place, None)

    def _find(self, key: Key) -> int | None:
        count = len(self._ports) // len(NAMES)
        begin = zlib.crc32(f"{key.namespace}/{key.name}".encode()) % count
        places = (*range(begin, count), *range(begin))
        return next((place for place in places if self._is_free(place, key)), None)

    def _is_free(self, place: int, key: Key) -> bool:
        if place in self._holders:
            return False
        last, since = self._freed.get(place, (key, 0.0))
        return last == key or self._clock() - since >= KEPT_BACK_SECONDS

    def _place_of(self, ports: Mapping[str, int]) -> int | None:
        """Return the place to which these ports belong, None where somebody wrote others."""
        for index, name in enumerate(NAMES):
            place, rest = divmod(ports.get(name, -1) - self._ports[0] - index, len(NAMES))
            if rest == 0 and 0 <= place < len(self._ports) // len(NAMES):
                return place
        return None
