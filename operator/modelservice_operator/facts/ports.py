"""The ports of a Service, in the one form in which those seen and those wanted are compared. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Port = tuple[str, int, str]
"""(protocol, port, target port)."""


def service_ports(spec: Mapping[str, Any]) -> frozenset[Port]:
    """Return the ports of a Service's spec as (protocol, port, target port)."""
    return _shared(
        tuple(
            (one.get("protocol") or "TCP", one["port"], str(one.get("targetPort") or one["port"]))
            for one in spec.get("ports") or ()
        )
    )


@lru_cache(maxsize=256)
def _shared(ports: tuple[Port, ...]) -> frozenset[Port]:
    """One set for all Services with the same ports: thousands of them stay in memory."""
    return frozenset(ports)
