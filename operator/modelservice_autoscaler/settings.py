"""The autoscaler's settings: frozen, read once from flags and environment. Nothing else reads either."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelservice_operator.settings import ProcessSettings, add_process_arguments, process_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "modelservice-autoscaler"
"""Of the Lease, where no other is asked for, and the field manager of every write."""


@dataclass(frozen=True, kw_only=True)
class AutoscalerSettings(ProcessSettings):
    """Everything that can be chosen at the autoscaler's start-up."""

    grpc_host: str = "::"
    """KEDA comes from another pod, over IPv4 or IPv6."""
    grpc_port: int = 9090


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> AutoscalerSettings:
    """Settings from command line arguments and environment; exits with a usage message on bad ones."""
    parser = argparse.ArgumentParser(
        prog="modelservice_autoscaler",
        description="Scales ModelServices by what their pods say of themselves.",
    )
    add_process_arguments(parser, lease_name=NAME)
    add = parser.add_argument
    add("--grpc-host", default=AutoscalerSettings.grpc_host, help="address of the external scaler for KEDA")
    add("--grpc-port", type=int, default=AutoscalerSettings.grpc_port, help="port of the same")
    args = parser.parse_args(argv)
    return AutoscalerSettings(
        **process_settings(args, environ), grpc_host=args.grpc_host, grpc_port=args.grpc_port
    )
