"""`modelservice runtime info`: what this machine offers a model, and what a model asks for."""

import argparse

from modelservice_cli.packages import check_runtime_packages
from modelservice_runtime.settings.info import add_info_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="runtime_command", metavar="COMMAND", required=True)
    info = commands.add_parser(
        "info",
        help="show versions, providers and CPU features; with --model a model's signature and speed",
        allow_abbrev=False,
    )
    add_info_arguments(info)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand; returns the exit code. Raises CommandError or StartupError."""
    check_runtime_packages()
    from modelservice_runtime.serving.info import print_info

    return print_info(arguments)
