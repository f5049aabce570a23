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


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> AutoscalerSettings:
    """Settings from command line arguments and environment; exits with a usage message on bad ones."""
    parser = argparse.ArgumentParser(
        prog="modelservice_autoscaler",
        description="Scales ModelServices by what their pods say of themselves.",
    )
    add_process_arguments(parser, lease_name=NAME)
    return AutoscalerSettings(**process_settings(parser.parse_args(argv), environ))
