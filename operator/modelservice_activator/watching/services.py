"""What is known of each service: its ports here, its pods, and whether it may be woken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from modelservice_operator.facts.endpoints import Slice

Key = tuple[str, str]
"""Namespace and name of a ModelService, which are those of its Service."""
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the ModelService says about replicas, at one resourceVersion."""

    replicas: int
    min_replicas: int
    version: str

    @property
    def sleeps(self) -> bool:
        """Whether a request may wake it: it has no replicas, and may have none while nobody asks."""
        return self.replicas == 0 and self.min_replicas == 0

    @property
    def is_off(self) -> bool:
        """Whether a person switched it off."""
        return self.replicas == 0 and self.min_replicas > 0


@dataclass(slots=True)
class Service:
    """One service that may sleep, as it is now."""

    key: Key
    ports: Mapping[str, int] = field(default_factory=dict)
    """Where clients are led to, by the names of the Service's ports; empty for one that may not sleep."""
    leads_here: bool = False
    """Whether clients are led here now."""
    pods: Mapping[str, frozenset[Address]] = field(default_factory=dict)
    """Where ready pods answer, by the names of the Service's ports."""
    wish: Wish | None = None
    """None where there is no ModelService."""
    is_gone: bool = False
    """Whether there was one: slices may tell of a service before the ModelService does, and after it."""


class Services:
    """All services, brought up to date by listeners; whoever subscribes hears of every change."""

    def __init__(self) -> None:
        self._services: dict[Key, Service] = {}
        self._standby: dict[Key, dict[str, Slice]] = {}
        self._backed: dict[Key, dict[str, Slice]] = {}
        self._wishes: dict[Key, Wish] = {}
        self._gone: set[Key] = set()
        self._subscribers: list[Callable[[Service], None]] = []

    def subscribe(self, subscriber: Callable[[Service], None]) -> None:
        """Call this with every service that has changed, once it has."""
        self._subscribers.append(subscriber)

    def get(self, key: Key) -> Service | None:
        """Return what is known of a service, None where there is none that may sleep or might until now."""
        return self._services.get(key)

    def __iter__(self) -> Iterator[Service]:
        return iter(self._services.values())

    def set_standby(self, key: Key, name: str, seen: Slice | None) -> None:
        """Take in a slice that leads here, as it is now; None where it is gone."""
        _put(self._standby, key, name, seen)
        self._refresh(key)

    def set_backed(self, key: Key, name: str, seen: Slice | None) -> None:
        """Take in a slice that leads to pods."""
        _put(self._backed, key, name, seen)
        self._refresh(key)

    def set_wish(self, key: Key, wish: Wish | None) -> None:
        """Take in what the ModelService wants; what is older than what is known is no news. None: it goes."""
        before = self._wishes.get(key)
        if wish is None:
            self._wishes.pop(key, None)
            self._gone.add(key)
        elif before is None or int(wish.version) >= int(before.version):
            self._wishes[key] = wish
            self._gone.discard(key)
        self._refresh(key)

    def _refresh(self, key: Key) -> None:
        """Bring one service up to date, and tell of it where it may sleep or might until now.

        What may sleep no more is remembered for as long as there is a ModelService: requests may wait for it.
        """
        service = self._services.get(key)
        if service is None:
            if key not in self._standby:
                self._gone.discard(key)
                return
            service = self._services[key] = Service(key)
        if key not in self._standby and key not in self._wishes:
            del self._services[key]
            self._gone.discard(key)
        slices = self._standby.get(key, {}).values()
        service.ports = {port: number for one in slices for port, number in one.ports.items()}
        service.leads_here = any(end.ready for one in slices for end in one.endpoints)
        service.pods = _ready_pods(self._backed.get(key, {}))
        service.wish = self._wishes.get(key)
        service.is_gone = key in self._gone
        for subscriber in self._subscribers:
            subscriber(service)


def _put(slices: dict[Key, dict[str, Slice]], key: Key, name: str, seen: Slice | None) -> None:
    if seen is not None:
        slices.setdefault(key, {})[name] = seen
        return
    known = slices.get(key, {})
    known.pop(name, None)
    if not known:
        slices.pop(key, None)


def _ready_pods(slices: Mapping[str, Slice]) -> dict[str, frozenset[Address]]:
    found: dict[str, set[Address]] = {}
    for one in slices.values():
        for end in one.endpoints:
            if end.ready:
                for port, number in one.ports.items():
                    found.setdefault(port, set()).add((end.address, number))
    return {port: frozenset(addresses) for port, addresses in found.items()}
