"""From the arguments of `top` to what is printed."""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence

from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_cli.rollout.cluster.errors import UnavailableError
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.progress.follow import is_interactive
from modelservice_cli.rollout.report import Part, as_text
from modelservice_cli.top.looking import Watcher
from modelservice_cli.top.rows import ServiceRow, as_json, pods_report, services_report


def run_top(arguments: argparse.Namespace) -> int:
    """Show how busy services are; returns the exit code. Raises CommandError."""
    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    namespace = getattr(arguments, "namespace", None) or access.namespace
    watcher = Watcher(Cluster(access), namespace, arguments.name)
    if arguments.json:
        print(json.dumps([as_json(row) for row in _look_twice(watcher, arguments.interval)], indent=2))
    elif is_interactive(os.environ, is_terminal=sys.stdout.isatty()):
        _show_until_interrupted(watcher, arguments.interval)
    else:
        print(as_text(report(watcher, _look_twice(watcher, arguments.interval))))
    return 0


def report(watcher: Watcher, rows: Sequence[ServiceRow]) -> list[Part]:
    """What is shown of a look."""
    shown = services_report(rows) if watcher.name is None else pods_report(rows[0])
    return [*shown, *watcher.notes]


def _look_twice(watcher: Watcher, interval_seconds: float) -> list[ServiceRow]:
    """Rates take two looks."""
    watcher.look()
    time.sleep(interval_seconds)
    return watcher.look()


def _show_until_interrupted(watcher: Watcher, interval_seconds: float) -> None:
    """An API server that is away for a while is waited for, once it has answered."""
    # Imported here: without a terminal nobody draws.
    from modelservice_cli.rollout.progress.live import live_parts

    parts = report(watcher, watcher.look())
    with live_parts() as draw, contextlib.suppress(KeyboardInterrupt):
        draw(parts)
        while True:
            time.sleep(interval_seconds)
            try:
                parts = report(watcher, watcher.look())
            except UnavailableError as error:
                draw([*parts, f"{error}; trying again"])
            else:
                draw(parts)
