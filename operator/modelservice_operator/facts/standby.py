"""What is known about who can stand in for a service that sleeps. Pure data: `work` gathers it."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  msgspec reads the annotations at run time
from typing import Any

import msgspec

from modelservice_operator.facts.endpoints import Slice  # noqa: TC001  msgspec reads it at run time


class Activators(msgspec.Struct, frozen=True, kw_only=True):
    """The activator's pods, as the EndpointSlices of its own Service list them."""

    namespace: str
    slices: tuple[Slice, ...] = ()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What concerns the sleep of one service."""

    activators: Activators | None = None
    """None where the cluster has no activator."""
    ports: Mapping[str, int] | None = None
    """The activator's ports that are this service's own, by the names of the Service's ports; None where none
    is free."""
    listening: frozenset[str] = frozenset()
    """Addresses of activators that have said that they listen on these ports."""
    silent: frozenset[str] = frozenset()
    """Addresses of those that have been asked for a while and have not."""
    led: tuple[Mapping[str, Any], ...] | None = None
    """The pods that clients of the Service find, as read, None where nobody has looked; without the right to
    read pods their names alone."""
