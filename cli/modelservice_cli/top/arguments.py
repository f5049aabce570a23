"""The arguments of `top`."""

import argparse

from modelservice_cli.rollout.arguments import add_cluster_arguments

DEFAULT_INTERVAL_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a ModelService, pod by pod; default: all of the namespace"
    )
    parser.add_argument("--json", action="store_true", help="print one look as JSON")
    parser.add_argument(
        "--interval",
        type=parse_interval_seconds,
        default=DEFAULT_INTERVAL_SECONDS,
        metavar="SECONDS",
        help="between two looks, over which rates are taken; default: %(default)g",
    )
    add_cluster_arguments(parser)


def parse_interval_seconds(text: str) -> float:
    """Seconds between two looks, from a tenth to an hour."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 3600, got {text!r}")
    return seconds
