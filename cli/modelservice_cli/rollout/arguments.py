"""The arguments of `rollout` and its verbs."""

import argparse
import re
from pathlib import Path

from modelservice_runtime.settings.serve import SettingsParser

_UNITS_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smh]?)")
_REVISION = "a revision's name, or its number in the history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_cluster_arguments(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=SettingsParser, required=True)
    _add_status(verbs)
    _add_history(verbs)
    _add_diff(verbs)
    _add_undo(verbs)
    for name, help_text, description in _REQUESTS:
        add_watch(_add_verb(verbs, name, help_text, description))


_REQUESTS = (
    (
        "promote",
        "skip the steps that remain, or make the switch of BlueGreen",
        "Give the new revision all traffic now: the steps, waits and analyses that remain are skipped.",
    ),
    (
        "pause",
        "stop a change where it is",
        "Stop the steps of the change that goes on, until somebody says resume or promote.",
    ),
    (
        "resume",
        "end a pause and go on",
        "End a pause: one of the steps, one that was asked for, that of an analysis that could say nothing.",
    ),
    (
        "abort",
        "stop a change and go back to the stable revision",
        "Stop the change: the stable revision is filled up, the new one is emptied. The spec stays as it is.",
    ),
    (
        "retry",
        "try a revision again that was aborted or given up",
        "Try the revision of the spec again after it was aborted or missed its deadline.",
    ),
    (
        "update-runtime",
        "take the ModelRuntime as it is now, such as a newer image",
        "Take the ModelRuntime as it is now, and change nothing else, in the way that spec.rollout says.",
    ),
)


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which cluster and namespace; they may stand before the verb and after it."""
    add_where(parser, with_namespace=True)


def add_where(parser: argparse.ArgumentParser, *, with_namespace: bool) -> None:
    """Add them, of commands on what belongs to no namespace without that one."""
    where = parser.add_argument_group("cluster")
    namespace = (("-n", "--namespace"), str, "NAMESPACE", "default: the namespace of the context")
    for flags, kind, metavar, what in (
        *((namespace,) if with_namespace else ()),
        (("--context",), str, "CONTEXT", "a context of the kubeconfig; default: its current one"),
        (("--kubeconfig",), Path, "FILE", "default: $KUBECONFIG, else ~/.kube/config, else the pod's own"),
    ):
        # No default of its own: one that was given before the verb must not be lost.
        where.add_argument(*flags, type=kind, metavar=metavar, help=what, default=argparse.SUPPRESS)


def _add_verb(
    verbs: "argparse._SubParsersAction[SettingsParser]", name: str, help_text: str, description: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text, description=description, allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help="a ModelService")
    add_cluster_arguments(parser)
    return parser


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says for whom is printed."""
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default: text")


def _add_status(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs,
        "status",
        "show how far a change is",
        "Show the revisions, their pods and traffic, and what holds a change up. With -w the exit code is 0 "
        "when the change is complete, 1 when it was given up or cannot go on, 124 after --timeout.",
    )
    add_output(parser)
    add_watch(parser)


def add_watch(parser: argparse.ArgumentParser, what: str = "change") -> None:
    """Add the flags of following to the end."""
    parser.add_argument("-w", "--watch", action="store_true", help=f"follow the {what} until it ends")
    parser.add_argument(
        "--timeout",
        type=parse_duration_seconds,
        metavar="DURATION",
        help="with -w: how long at most, such as 90s, 10m or 1h; default: until it ends",
    )
    parser.add_argument(
        "--until-paused",
        action="store_true",
        help=f"with -w: end with 0 too when the {what} pauses until a person decides",
    )


def _add_history(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs, "history", "list the recorded revisions", "List the recorded revisions, the oldest first."
    )
    add_output(parser)


def _add_diff(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs,
        "diff",
        "show what two revisions differ in",
        "Show which fields and which runtime two revisions differ in. Without REV: the stable revision and "
        "the target, or the stable one and the one before it. With one REV: that one and the target.",
    )
    parser.add_argument("revisions", nargs="*", metavar="REV", help=_REVISION)


def _add_undo(verbs: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = _add_verb(
        verbs,
        "undo",
        "go back to an earlier revision",
        "Write the recorded fields of a revision back into the spec: those that make a revision, and no "
        "others. Default: the stable revision; where the spec asks for that one, the one before it.",
    )
    parser.add_argument("--to-revision", metavar="REV", help=_REVISION)
    parser.add_argument("--dry-run", action="store_true", help="let the API server check it, write nothing")
    parser.add_argument(
        "--force", action="store_true", help="write even where the spec comes from Git or from Helm"
    )


def parse_duration_seconds(text: str) -> int:
    """A duration as kubectl reads it: `90`, `90s`, `10m`, `1h`."""
    match = _DURATION.fullmatch(text)
    seconds = int(match["number"]) * _UNITS_SECONDS[match["unit"]] if match else 0
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 90s, 10m or 1h, got {text!r}")
    return seconds
