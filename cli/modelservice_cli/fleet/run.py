"""From the arguments of `fleet` to what is printed."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from modelservice_cli.fleet.status import FleetStatus, fleet_status
from modelservice_cli.fleet.text import fleet_line, fleet_report
from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.progress.follow import follow_looks, is_interactive, only_changes
from modelservice_cli.rollout.report import as_text
from modelservice_runtime.errors import InvalidSettingsError


def run_fleet(arguments: argparse.Namespace) -> int:
    """Run one verb; returns the exit code. Raises CommandError."""
    for flag in ("timeout", "until_paused"):
        if getattr(arguments, flag, None) and not arguments.watch:
            raise InvalidSettingsError(f"--{flag.replace('_', '-')} needs -w")
    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    return _VERBS[arguments.verb](arguments, Cluster(access))


def _status(arguments: argparse.Namespace, cluster: Cluster) -> int:
    if arguments.watch:
        return _follow(arguments, cluster, arguments.output)
    status = fleet_status(cluster.read_rollout(arguments.name))
    if arguments.output == "json":
        print(json.dumps(status.as_json(), indent=2))
    else:
        print(as_text(fleet_report(status, datetime.now(UTC))))
    return 0


def _follow(arguments: argparse.Namespace, cluster: Cluster, output: str) -> int:
    def look() -> FleetStatus:
        return fleet_status(cluster.read_rollout(arguments.name))

    with _shower(output) as show:
        return follow_looks(look, show, arguments.timeout, until_paused=arguments.until_paused)


@contextlib.contextmanager
def _shower(output: str) -> Iterator[Callable[[FleetStatus], None]]:
    """Yield how to show a look: as a live view in a terminal, else as lines, one for each change."""
    if output == "text" and is_interactive(os.environ, is_terminal=sys.stdout.isatty()):
        from modelservice_cli.rollout.progress.live import live_parts

        with live_parts() as draw:
            yield lambda status: draw(fleet_report(status, datetime.now(UTC)))
    elif output == "json":
        yield only_changes(lambda status: json.dumps(status.as_json()))
    else:
        yield only_changes(fleet_line)


_VERBS = {"status": _status}
