"""`modelservice completion`: prints what teaches a shell to complete the command."""

import argparse
from typing import Any

from modelservice_cli.manual import commands_of
from modelservice_cli.packages import check_completion_packages

SHELLS = ("bash", "zsh", "fish")
_FILES = frozenset({"FILE", "MODEL", "PATH"})
_FOLDERS = frozenset({"DIR"})
"""Placeholders of flags and arguments that stand for something on this machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Print the script for `parser`; returns the exit code. Raises CommandError."""
    check_completion_packages()
    import shtab

    for _, command in commands_of(parser):
        for action in command._actions:
            _complete_paths(action, shtab)
    print(shtab.complete(parser, shell=arguments.shell))
    return 0


def _complete_paths(action: Any, shtab: Any) -> None:
    if action.metavar in _FILES:
        action.complete = shtab.FILE
    elif action.metavar in _FOLDERS:
        action.complete = shtab.DIRECTORY
