"""The arguments of `api-key` and its verbs."""

import argparse
from pathlib import Path

from modelservice_cli.rollout.arguments import add_cluster_arguments
from modelservice_runtime.settings.serve import SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(
        dest="api_key_command", metavar="COMMAND", parser_class=SettingsParser, required=True
    )
    new = verbs.add_parser(
        "new",
        help="make a key",
        description="Make a random key. The key goes to its client and is kept nowhere; the server gets a "
        "line with its hash.",
        allow_abbrev=False,
    )
    new.add_argument("name", metavar="NAME", help="whose key it is; one name, one key")
    _add_place(new, required=False)
    listing = verbs.add_parser("list", help="show whose keys there are", allow_abbrev=False)
    _add_place(listing, required=True)
    revoke = verbs.add_parser("revoke", help="take a key away", allow_abbrev=False)
    revoke.add_argument("name", metavar="NAME", help="whose key it is")
    _add_place(revoke, required=True)


def _add_place(parser: argparse.ArgumentParser, *, required: bool) -> None:
    place = parser.add_mutually_exclusive_group(required=required)
    place.add_argument("--file", type=Path, metavar="FILE", help="a key file, for serve --api-key-file")
    place.add_argument(
        "--secret",
        metavar="SECRET",
        help="a Secret of a cluster, for spec.auth.apiKeys; new makes one that does not exist",
    )
    add_cluster_arguments(parser)
