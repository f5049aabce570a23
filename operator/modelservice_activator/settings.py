"""The activator's settings: frozen, read once from flags and environment. Every default has its reason."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_operator.settings import CommonSettings, add_common_arguments, common_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class HoldLimits:
    """How much may wait for pods. Beyond it requests are refused, and told when to come again."""

    requests: int = 4000
    """Of all services. One costs 11 KiB beside its bytes, so all fit into the chart's memory with them."""
    requests_per_service: int = 1000
    """Twice what a server's queue takes, so one service leaves room for others."""
    total_bytes: int = 128 * 1024 * 1024
    """What all held requests have sent; more of a request than one read stays with its client."""
    bytes_per_service: int = 64 * 1024 * 1024
    wait_seconds: float = 300.0
    """How long a request waits. Large models take minutes to fetch and load."""
    per_pod: int = 256
    """Requests on their way to one pod; two activators together fill a server's queue of 512."""


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """How many clients there may be, and how slow. Beyond it, those that ask for nothing go first."""

    connections: int = 6000
    """One of HTTP/2 with a request costs 30 KiB; so all fit into the chart's memory beside what is held."""
    connections_per_service: int = 3000
    head_bytes: int = 32 * 1024 * 1024
    """Of heads that are not complete, of all clients; nearly all come whole."""
    head_seconds: float = 10.0
    """Until the first request's head is complete; as in the servers of the pods."""
    idle_seconds: float = 620.0
    """Between two requests. Load balancers keep idle connections for up to 600 s."""
    retired_idle_seconds: float = 1.0
    """The same once pods answer again: who asks all the time is told with an answer, nobody is cut off."""
    stall_seconds: float = 20.0
    """In which the other side reads nothing of what is written to it; as in the servers of the pods."""
    tunnel_idle_seconds: float = 60.0
    """After which a retired connection whose bytes we cannot read counts as unused."""


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Everything that can be chosen at start-up."""

    host: str = "::"
    """Where clients are answered."""
    hold: HoldLimits = HoldLimits()
    connections: ConnectionLimits = ConnectionLimits()
    connect_seconds: float = 2.0
    """Addresses of pods that are gone swallow packets. Two SYNs fit in: the first is repeated after 1 s."""
    leave_seconds: float = 5.0
    """After SIGTERM new connections still come until every node has heard that they should not."""
    grace_seconds: float = 50.0
    """After SIGTERM what is held and passed on may go on for so long; less than the pod's grace period."""


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from command line arguments and environment; exits with a usage message on bad ones."""
    args = _parser().parse_args(argv)
    return Settings(
        **common_settings(args, environ),
        host=args.host,
        hold=HoldLimits(
            requests=args.max_held_requests,
            requests_per_service=args.max_held_requests_per_service,
            total_bytes=args.max_held_bytes,
            bytes_per_service=args.max_held_bytes_per_service,
            wait_seconds=args.max_wait_seconds,
            per_pod=args.max_requests_per_pod,
        ),
        connections=ConnectionLimits(
            connections=args.max_connections, connections_per_service=args.max_connections_per_service
        ),
        connect_seconds=args.connect_seconds,
        leave_seconds=args.leave_seconds,
        grace_seconds=args.grace_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelservice_activator",
        description="Holds requests to ModelServices that sleep, wakes them, and passes the requests on.",
    )
    add_common_arguments(parser)
    add = parser.add_argument
    add("--host", default=Settings.host, help="address for clients; '::' is every one of IPv4 and IPv6")
    _add_limits(parser)
    for name, default, what in (
        ("connect", Settings.connect_seconds, "time for a connection to a pod"),
        ("leave", Settings.leave_seconds, "time after SIGTERM in which new connections are taken"),
        ("grace", Settings.grace_seconds, "time after SIGTERM for what is held and passed on"),
    ):
        add(f"--{name}-seconds", type=_positive_float, default=default, metavar="S", help=what)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    hold, connections = HoldLimits(), ConnectionLimits()
    for name, default, what in (
        ("held-requests", hold.requests, "requests that wait for pods"),
        ("held-requests-per-service", hold.requests_per_service, "of those, of one service"),
        ("held-bytes", hold.total_bytes, "bytes of requests that wait"),
        ("held-bytes-per-service", hold.bytes_per_service, "of those, of one service"),
        ("requests-per-pod", hold.per_pod, "requests on their way to one pod"),
        ("connections", connections.connections, "connections of clients"),
        ("connections-per-service", connections.connections_per_service, "of those, of one service"),
    ):
        parser.add_argument(f"--max-{name}", type=_positive_int, default=default, metavar="N", help=what)
    parser.add_argument(
        "--max-wait-seconds",
        type=_positive_float,
        default=hold.wait_seconds,
        metavar="S",
        help="how long a request waits for a pod",
    )


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds between 0 and a day, got {text}")
    return value
