"""`modelservice serve`: the cluster's runtime on this machine, from files or from a ModelService's YAML."""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelservice_cli.errors import CommandError
from modelservice_cli.packages import check_runtime_packages
from modelservice_runtime.machine.collector import collector_paused
from modelservice_runtime.settings.serve import ServeSettings, add_serve_arguments, build_serve_settings

if TYPE_CHECKING:
    from modelservice_cli.local.manifest import LocalService


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags: the server's own, and those that read a manifest."""
    parser.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="YAML of a ModelService ('-': standard input); flags win over it, "
        "and --model PATH is where its model lies",
    )
    parser.add_argument(
        "--credentials-dir", type=Path, metavar="DIR", help="with -f: files of the model store's credentials"
    )
    parser.add_argument(
        "--decryption-dir",
        type=Path,
        metavar="DIR",
        help="with -f: directory with the private key of an encrypted model, as key.txt",
    )
    add_serve_arguments(parser, default_host="127.0.0.1")


def run(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    """Serve until interrupted; returns the exit code. Raises CommandError or InvalidSettingsError."""
    settings = build_settings(parser, argv)
    check_runtime_packages()
    # Imported here, so that help and errors need no more than the base installation.
    with collector_paused():
        from modelservice_runtime.serving.serve import run_server

    return run_server(settings)


def build_settings(parser: argparse.ArgumentParser, argv: Sequence[str]) -> ServeSettings:
    """Settings from flags, and from the manifest for what no flag says."""
    arguments = parser.parse_args(argv)
    if arguments.file is None:
        for flag in ("credentials_dir", "decryption_dir"):
            if getattr(arguments, flag) is not None:
                parser.error(f"--{flag.replace('_', '-')} needs -f")
        return build_serve_settings(arguments)
    if len(arguments.model) > 1:
        parser.error("with -f give at most one --model PATH")
    # Imported here: the API's models take longer to import than a small model to load.
    from modelservice_cli.local.manifest import read_manifest

    service = read_manifest(arguments.file)
    if service.ignored_fields:
        ignored = ", ".join(f"spec.{name}" for name in service.ignored_fields)
        print(f"modelservice: without a cluster these have no effect: {ignored}", file=sys.stderr)
    _take_environment(service.environment)
    parser.set_defaults(
        model_version=service.version or "1",
        intra_op_threads=service.intra_op_threads,
        **service.flags,
    )
    arguments = parser.parse_args(argv)
    arguments.execution_provider = arguments.execution_provider or list(service.execution_providers)
    arguments.model = [f"{service.name}={_model_path(arguments, service)}"]
    return build_serve_settings(arguments)


def _take_environment(wanted: Mapping[str, str]) -> None:
    """Set the manifest's variables that the user's own environment lacks, for the fetch and the server."""
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    if "TZ" in wanted:
        time.tzset()


def _model_path(arguments: argparse.Namespace, service: "LocalService") -> Path:
    check_runtime_packages()
    from modelservice_cli.local.model_files import SecretDirectories, cache_directory, locate_model

    given = None
    if arguments.model:
        given = _given_path(arguments.model[0], service.name)
    secrets = SecretDirectories(arguments.credentials_dir, arguments.decryption_dir)
    return locate_model(service, given, secrets, cache_directory())


def _given_path(text: str, name: str) -> Path:
    """Return the path of `PATH` or `NAME=PATH`, where NAME is the one in the manifest."""
    path = Path(text.removeprefix(f"{name}="))
    if not path.exists() and Path(text.partition("=")[2] or path).exists():
        raise CommandError(
            f"--model {text!r}: -f calls the model {name!r}: give --model PATH, or set spec.model.name"
        )
    return path
