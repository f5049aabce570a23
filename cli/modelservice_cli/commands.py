"""The subcommands of `modelservice` and of `kubectl msvc`, and which of them a command line means."""

import argparse
import os
import sys
from collections.abc import Sequence

from modelservice_cli import completion, encrypt, model, runtime
from modelservice_cli.api_key.arguments import add_arguments as add_api_key_arguments
from modelservice_cli.chat.arguments import add_arguments as add_chat_arguments
from modelservice_cli.errors import CommandError
from modelservice_cli.fleet.arguments import add_arguments as add_fleet_arguments
from modelservice_cli.local import serve
from modelservice_cli.manual import write_manual
from modelservice_cli.packages import check_cluster_packages
from modelservice_cli.rollout.arguments import add_arguments as add_rollout_arguments
from modelservice_cli.rollout.arguments import add_cluster_arguments
from modelservice_cli.rollout.report import printable
from modelservice_cli.top.arguments import add_arguments as add_top_arguments
from modelservice_runtime.errors import InvalidSettingsError, StartupError
from modelservice_runtime.settings.serve import SettingsParser

_INTERRUPTED = 130
"""As shells report a command that Ctrl-C ended."""
_NOBODY_READS = 141
"""As shells report a command that SIGPIPE ended."""
_ON_CLUSTER = ("fleet", "rollout", "top")


def run(argv: Sequence[str]) -> int:
    """Run a command line of `modelservice`; returns the exit code: 1 for a failure, 2 for wrong usage."""
    return _run(_build_parser(), argv)


def run_plugin(argv: Sequence[str]) -> int:
    """Run what follows `kubectl msvc`; returns the exit code as `run` does."""
    return _run(_build_plugin_parser(), argv)


def _run(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    try:
        arguments = parser.parse_args(argv)
        try:
            code = _run_command(parser, arguments, argv)
            print(end="", flush=True)
            return code
        except BrokenPipeError:
            # Whoever reads has seen enough. Python would complain of it once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            # Of work that goes on, and of a change that is followed, this says nothing: it must not look
            # complete.
            is_told = arguments.command in _ON_CLUSTER and not getattr(arguments, "watch", False)
            return 0 if is_told else _NOBODY_READS
    except KeyboardInterrupt:
        return _INTERRUPTED
    except InvalidSettingsError as error:
        print(f"{parser.prog}: {error.args[0]}", file=sys.stderr)
        return 2
    except (CommandError, StartupError) as error:
        print(printable(f"{parser.prog}: {error}"), file=sys.stderr)
        return 1


def _run_command(parser: argparse.ArgumentParser, arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    if arguments.command == "serve":
        return serve.run(arguments.serve_parser, argv[1:])
    if arguments.command == "api-key":
        # Imported here: the runtime's checks of keys are for this command alone.
        from modelservice_cli.api_key.run import run as run_api_key

        return run_api_key(arguments)
    if arguments.command == "chat":
        from modelservice_cli.chat.run import run as run_chat

        return run_chat(arguments)
    if arguments.command == "encrypt":
        return encrypt.run(arguments)
    if arguments.command == "runtime":
        return runtime.run(arguments)
    if arguments.command == "model":
        return model.run(arguments)
    if arguments.command in _ON_CLUSTER:
        return _run_on_cluster(arguments)
    if arguments.command == "completion":
        return completion.run(arguments, parser)
    if arguments.command == "version":
        from importlib.metadata import version

        print(f"modelservice {version('modelservice')}")
        return 0
    parser.print_help()
    return 2


def _run_on_cluster(arguments: argparse.Namespace) -> int:
    check_cluster_packages()
    # Imported here: the package `kubernetes` takes a second, and no other command needs it.
    if arguments.command == "top":
        from modelservice_cli.top.run import run_top

        return run_top(arguments)
    if arguments.command == "fleet":
        from modelservice_cli.fleet.run import run_fleet

        return run_fleet(arguments)
    from modelservice_cli.rollout.run import run_verb

    return run_verb(arguments)


def _build_parser() -> argparse.ArgumentParser:
    parser = SettingsParser(
        prog="modelservice", description="Serve machine learning models.", allow_abbrev=False
    )
    _add_version_flag(parser)
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
        "api-key", help="make and revoke keys that clients of a server need", allow_abbrev=False
    )
    add_api_key_arguments(api_key_parser)
    chat_parser = commands.add_parser(
        "chat",
        help="talk to a model that generates text, in the terminal",
        description="Talk to a model that generates text: a line is a message, and answers come as they are "
        "made. Of any server of OpenAI's API, or of a ModelService, by way of the API server.",
        allow_abbrev=False,
    )
    add_chat_arguments(chat_parser)
    encrypt_parser = commands.add_parser(
        "encrypt",
        help="encrypt a model, and make the keys for that",
        description="Encrypt an ONNX model and its external data for the owners of keys (age). "
        "Prints the SHA-256 of each encrypted file: that of the model is spec.model.sha256.",
        allow_abbrev=False,
    )
    encrypt.add_arguments(encrypt_parser)
    runtime_parser = commands.add_parser(
        "runtime", help="show what the runtime finds on this machine", allow_abbrev=False
    )
    runtime.add_arguments(runtime_parser)
    _add_model(commands)
    _add_rollout(commands)
    _add_fleet(commands)
    _add_top(commands)
    completion_parser = commands.add_parser(
        "completion",
        help="print what teaches a shell to complete this command",
        description="Print what teaches a shell to complete this command.",
        allow_abbrev=False,
    )
    completion.add_arguments(completion_parser)
    commands.add_parser("version", help="print the version")
    write_manual(parser, "modelservice")
    return parser


def _build_plugin_parser() -> argparse.ArgumentParser:
    parser = SettingsParser(
        prog="kubectl msvc", description="Look at ModelServices in a cluster.", allow_abbrev=False
    )
    add_cluster_arguments(parser)
    _add_version_flag(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=SettingsParser)
    _add_rollout(commands)
    _add_fleet(commands)
    _add_top(commands)
    commands.add_parser("version", help="print the version")
    write_manual(parser, parser.prog)
    return parser


def _add_version_flag(parser: argparse.ArgumentParser) -> None:
    """The command `version` as most programs have it."""
    parser.add_argument(
        "--version", dest="command", action="store_const", const="version", help="print the version"
    )


def _add_model(commands: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = commands.add_parser(
        "model",
        help="evaluate, convert, prove, compress, package, deploy and explain models",
        description="The way of a model to production and around it, a step a command.",
        allow_abbrev=False,
    )
    model.add_arguments(parser)


def _add_rollout(commands: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = commands.add_parser(
        "rollout",
        help="show changes of ModelServices in a cluster, steer them, and take them back",
        description="Show changes of ModelServices in a cluster, steer them, and take them back.",
        allow_abbrev=False,
    )
    add_rollout_arguments(parser)


def _add_fleet(commands: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = commands.add_parser(
        "fleet",
        help="show, plan and steer how a runtime gets to many ModelServices",
        description="Show, plan and steer RuntimeRollouts, which bring a runtime to ModelServices in waves.",
        allow_abbrev=False,
    )
    add_fleet_arguments(parser)


def _add_top(commands: "argparse._SubParsersAction[SettingsParser]") -> None:
    parser = commands.add_parser(
        "top",
        help="show how busy ModelServices in a cluster are",
        description="Show how busy the ModelServices of a namespace, or the pods of one, are, and how many "
        "pods are wanted. In a terminal until Ctrl-C, else once.",
        allow_abbrev=False,
    )
    add_top_arguments(parser)
