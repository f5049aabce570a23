"""What `serve` can be told about clients that are slow or many; values and their flags."""

import argparse
from dataclasses import dataclass

from modelservice_runtime.settings.argument_types import parse_count, parse_duration, parse_optional_duration


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Limits of each port, the same for REST and gRPC.

    Common load balancers keep idle connections for 10 minutes (Google Cloud's) or less; one that we closed
    first would lose the request that is just on its way. `max_connection_age_seconds` is None without such
    a limit; it is on by default and not by an argument of the operator's, whose pods may have older images.
    """

    max_connections: int = 4096
    head_timeout_seconds: float = 10.0
    body_grace_seconds: float = 20.0
    min_body_bytes_per_second: int = 16 * 1024
    write_stall_seconds: float = 20.0
    idle_timeout_seconds: float = 620.0
    max_connection_age_seconds: float | None = 1800.0
    max_connection_age_grace_seconds: float = 300.0


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("slow and many clients")
    defaults = ConnectionSettings()
    group.add_argument(
        "--max-connections",
        type=parse_count,
        default=defaults.max_connections,
        metavar="N",
        help="connections of a port; others take the place of idle ones, or get 503 (default: %(default)s)",
    )
    group.add_argument(
        "--min-body-bytes-per-second",
        type=parse_count,
        default=defaults.min_body_bytes_per_second,
        metavar="N",
        help="how fast a body must arrive on average, after its grace (default: %(default)s)",
    )
    for flag, default, meaning in (
        ("--head-timeout-seconds", defaults.head_timeout_seconds, "time for a request's line and headers"),
        ("--body-grace-seconds", defaults.body_grace_seconds, "time in which a body may arrive slowly"),
        ("--write-stall-seconds", defaults.write_stall_seconds, "time in which a client reads nothing"),
        (
            "--idle-timeout-seconds",
            defaults.idle_timeout_seconds,
            "time a client may stay silent between requests",
        ),
        (
            "--max-connection-age-grace-seconds",
            defaults.max_connection_age_grace_seconds,
            "time for the calls of a connection that is too old",
        ),
    ):
        group.add_argument(
            flag, type=parse_duration, default=default, metavar="S", help=f"{meaning} (default: %(default)s)"
        )
    group.add_argument(
        "--max-connection-age-seconds",
        type=parse_optional_duration,
        default=defaults.max_connection_age_seconds,
        metavar="S|off",
        help="age at which clients are asked to connect anew, give or take a tenth (default: %(default)s)",
    )


def build_connection_settings(arguments: argparse.Namespace) -> ConnectionSettings:
    """Settings from parsed flags."""
    return ConnectionSettings(
        max_connections=arguments.max_connections,
        head_timeout_seconds=arguments.head_timeout_seconds,
        body_grace_seconds=arguments.body_grace_seconds,
        min_body_bytes_per_second=arguments.min_body_bytes_per_second,
        write_stall_seconds=arguments.write_stall_seconds,
        idle_timeout_seconds=arguments.idle_timeout_seconds,
        max_connection_age_seconds=arguments.max_connection_age_seconds,
        max_connection_age_grace_seconds=arguments.max_connection_age_grace_seconds,
    )
