"""`modelservice model`: finds the step of the pipeline that a command line means, and runs it."""

import argparse
import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from modelservice_cli.deploy.command import DEPLOY
from modelservice_cli.errors import CommandError
from modelservice_cli.packages import check_cluster_packages, check_pipeline_packages
from modelservice_pipeline.commands.registry import COMMANDS
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.report.report import check_output
from modelservice_runtime.machine.early_end import EXIT_CODE

if TYPE_CHECKING:
    from modelservice_pipeline.predict.arguments import Reached

STEPS = (*COMMANDS, DEPLOY)
"""Those of the pipeline, and the one that needs a cluster."""

_INTERRUPTED = 130
"""As shells report a command that Ctrl-C ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the steps and their flags."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    for command in STEPS:
        step = steps.add_parser(command.name, help=command.help, allow_abbrev=False)
        command.load().add_arguments(step)


def _reach_service(arguments: argparse.Namespace, name: str) -> "Reached":
    """Find a ModelService in the cluster, where a step is given a name in place of a file or a URL."""
    check_cluster_packages()
    from modelservice_cli.rollout.cluster.proxy import reach_service

    return reach_service(arguments, name)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM unwind as Ctrl-C does: what a step has started, such as servers, ends with it."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(EXIT_CODE)


def run(arguments: argparse.Namespace) -> int:
    """Run the step; returns the exit code. Raises CommandError."""
    (command,) = (one for one in STEPS if one.name == arguments.step)
    check_pipeline_packages(command.packages)
    arguments.reach_service = _reach_service
    try:
        with _ended_in_order():
            check_output(arguments)
            return command.load().run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except PipelineError as error:
        raise CommandError(str(error)) from None
