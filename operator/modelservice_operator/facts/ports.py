"""The ports of the server, and those of a Service in the one form in which they are compared. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HTTP = 8080
GRPC = 9000
METRICS = 8082

HTTP_NAME = "http"
GRPC_NAME = "grpc"
METRICS_NAME = "metrics"

OF_HTTP = 80
OF_HTTPS = 443
"""The port of a Service that leads to `HTTP`: without TLS, and with it."""

STANDBY = range(20_000, 52_000)
"""Ports of the activator: each port of a service that may sleep has one of its own in the whole cluster."""

ACTIVATOR = 8081
"""Where the activator says what it listens on, unless its Service says otherwise."""

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
