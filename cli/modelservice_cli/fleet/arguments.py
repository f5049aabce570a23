"""The arguments of `fleet` and its verbs."""

import argparse

from modelservice_cli.rollout.arguments import add_output, add_watch, add_where
from modelservice_runtime.settings.serve import SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_where(parser, with_namespace=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=SettingsParser, required=True)
    _add_status(verbs)


def _add_verb(
    verbs: "argparse._SubParsersAction[SettingsParser]",
    name: str,
    help_text: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text, description=description, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="a RuntimeRollout")
    add_where(parser, with_namespace=False)
    return parser


def _add_status(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs,
        "status",
        "show how far it is",
        "Show the waves, who moves, and who failed and why. With -w the exit code is 0 when it is complete, "
        "1 when it was halted, taken back, aborted or superseded, 124 after --timeout.",
    )
    add_output(parser)
    add_watch(parser, "RuntimeRollout")
