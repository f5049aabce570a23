"""The subcommands of `modelservice`, and which of them a command line means."""

import argparse
import sys
from collections.abc import Sequence

from modelservice_cli import api_key, runtime, serve
from modelservice_cli.errors import CommandError
from modelservice_runtime.errors import InvalidSettingsError, StartupError
from modelservice_runtime.settings.serve import SettingsParser


def run(argv: Sequence[str]) -> int:
    """Run a command line; returns the exit code: 1 for a failure, 2 for wrong usage."""
    try:
        return _run(argv)
    except InvalidSettingsError as error:
        print(f"modelservice: {error.args[0]}", file=sys.stderr)
        return 2
    except (CommandError, StartupError) as error:
        print(f"modelservice: {error}", file=sys.stderr)
        return 1


def _run(argv: Sequence[str]) -> int:
    parser = _build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "serve":
        return serve.run(arguments.serve_parser, argv[1:])
    if arguments.command == "api-key":
        return api_key.run(arguments)
    if arguments.command == "runtime":
        return runtime.run(arguments)
    if arguments.command == "version":
        from importlib.metadata import version

        print(f"modelservice {version('modelservice')}")
        return 0
    parser.print_help()
    return 2


def _build_parser() -> argparse.ArgumentParser:
    parser = SettingsParser(
        prog="modelservice", description="Serve machine learning models.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=SettingsParser)
    serve_parser = commands.add_parser(
        "serve",
        help="serve ONNX models on this machine, without a cluster",
        description="Serve ONNX models on this machine: files, or the YAML of a ModelService.",
        allow_abbrev=False,
    )
    serve.add_arguments(serve_parser)
    serve_parser.set_defaults(serve_parser=serve_parser)
    api_key_parser = commands.add_parser(
        "api-key", help="make keys that clients of a server need", allow_abbrev=False
    )
    api_key.add_arguments(api_key_parser)
    runtime_parser = commands.add_parser(
        "runtime", help="show what the runtime finds on this machine", allow_abbrev=False
    )
    runtime.add_arguments(runtime_parser)
    commands.add_parser("version", help="print the version")
    return parser
