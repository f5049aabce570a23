"""The arguments of `fleet` and its verbs."""

import argparse

from modelservice_cli.rollout.arguments import add_output, add_watch, add_where
from modelservice_runtime.settings.serve import SettingsParser

_REQUESTS = (
    (
        "approve",
        "let a wave start that waits for a person",
        "Approve the wave whose turn it is, or one that comes: its members start when their turn comes.",
    ),
    (
        "pause",
        "start no further member",
        "Start no further member. Those that are on the way go on, by their own rollouts.",
    ),
    ("resume", "end a pause", "End a pause that was asked for: members start again."),
    (
        "abort",
        "end it where it is",
        "End it: no further member starts. Those that are on the way go on, by their own rollouts.",
    ),
    (
        "rollback",
        "give everybody the image back that they had",
        "Give every member the image back that it had at the start, by its own rollout.",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_where(parser, with_namespace=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=SettingsParser, required=True)
    _add_status(verbs)
    _add_plan(verbs)
    for name, help_text, description in _REQUESTS:
        request = _add_verb(verbs, name, help_text, description)
        if name == "approve":
            request.add_argument("--wave", metavar="WAVE", help="default: the next one that waits for it")
        add_watch(request, "RuntimeRollout")


def _add_verb(
    verbs: "argparse._SubParsersAction[SettingsParser]",
    name: str,
    help_text: str,
    description: str,
    *,
    needs_name: bool = True,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text, description=description, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", nargs=None if needs_name else "?", help="a RuntimeRollout")
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


def _add_plan(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs,
        "plan",
        "show who would move, in which wave, before anything does",
        "Show who would move from which image to which, in which wave, and who would be left out and why: of "
        "a RuntimeRollout of the cluster from now on, or with -f of one that was not applied yet. Nothing is "
        "written.",
        needs_name=False,
    )
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="YAML with a RuntimeRollout, and with ModelRuntimes that are to be applied with it; - reads "
        "standard input",
    )
    add_output(parser)
