"""From the arguments of `fleet` to what is printed."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, get_args

from modelservice_cli.documents import read_documents, the_only
from modelservice_cli.errors import CommandError
from modelservice_cli.fleet.ask import Verb, find_answer, plan_request, with_request
from modelservice_cli.fleet.plan import Manifest, plan_rollout
from modelservice_cli.fleet.plan_text import plan_json, plan_report
from modelservice_cli.fleet.status import FleetStatus, fleet_status
from modelservice_cli.fleet.text import fleet_line, fleet_report
from modelservice_cli.rollout.cluster.api import Cluster
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.cluster.tries import again_if_changed, wait_for
from modelservice_cli.rollout.progress.follow import follow_looks, is_interactive, only_changes
from modelservice_cli.rollout.report import as_text
from modelservice_operator.api import (
    InvalidSpec,
    parse_model_runtime,
    parse_runtime_rollout,
)
from modelservice_operator.facts.kinds import MODEL_RUNTIMES, MODEL_SERVICES
from modelservice_runtime.errors import InvalidSettingsError


def run_fleet(arguments: argparse.Namespace) -> int:
    """Run one verb; returns the exit code. Raises CommandError."""
    for flag in ("timeout", "until_paused"):
        if getattr(arguments, flag, None) and not arguments.watch:
            raise InvalidSettingsError(f"--{flag.replace('_', '-')} needs -w")
    return _VERBS[arguments.verb](arguments)


def _find_cluster(arguments: argparse.Namespace) -> Cluster:
    """That of the kubeconfig; asked for behind what the command line itself says. Raises CommandError."""
    return Cluster(find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None)))


def _status(arguments: argparse.Namespace) -> int:
    cluster = _find_cluster(arguments)
    if arguments.watch:
        return _follow(arguments, cluster, arguments.output)
    status = fleet_status(cluster.read_rollout(arguments.name))
    if arguments.output == "json":
        print(json.dumps(status.as_json(), indent=2))
    else:
        print(as_text(fleet_report(status, datetime.now(UTC))))
    return 0


def _follow(arguments: argparse.Namespace, cluster: Cluster, output: str, goal: str = "Complete") -> int:
    def look() -> FleetStatus:
        return fleet_status(cluster.read_rollout(arguments.name), goal)

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


def _plan(arguments: argparse.Namespace) -> int:
    if (arguments.file is None) == (arguments.name is None):
        raise InvalidSettingsError("name a RuntimeRollout of the cluster, or the YAML of one with -f FILE")
    written = _written(arguments.file) if arguments.file else None
    cluster = _find_cluster(arguments)
    rollout, runtimes = written or _applied(cluster, arguments.name)
    named = {one["metadata"]["name"]: one for one in cluster.list_everywhere(MODEL_RUNTIMES)}
    named |= {one["metadata"]["name"]: one for one in runtimes}
    services = list(cluster.list_everywhere(MODEL_SERVICES))
    with _counter("Planning") as told:
        planned = plan_rollout(rollout, services, list(named.values()), datetime.now(UTC), told)
    if arguments.output == "json":
        print(json.dumps(plan_json(planned), indent=2))
    else:
        print(as_text(plan_report(planned)))
    return 0


@contextlib.contextmanager
def _counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield how to tell that so many of so many are done: a bar in a terminal, on standard error."""
    if not is_interactive(os.environ, is_terminal=sys.stderr.isatty()):
        yield lambda _done, _all: None
        return
    from modelservice_cli.rollout.progress.live import live_count

    with live_count(what) as count:
        yield count


def _written(path: str) -> tuple[Manifest, list[dict[str, Any]]]:
    """The RuntimeRollout in a file, and the ModelRuntimes that would be applied with it."""
    runtimes = read_documents(path, "ModelRuntime")
    found = the_only(read_documents(path, "RuntimeRollout"), path, "RuntimeRollout")
    try:
        for one in runtimes:
            parse_model_runtime(one, strict=True)
        return Manifest(parsed=parse_runtime_rollout(found, strict=True), raw=found), runtimes
    except InvalidSpec as error:
        raise CommandError(f"{path}: {error}") from None


def _applied(cluster: Cluster, name: str) -> tuple[Manifest, list[dict[str, Any]]]:
    """One of the cluster."""
    found = cluster.read_rollout(name)
    try:
        return Manifest(parsed=parse_runtime_rollout(found), raw=found), []
    except InvalidSpec as error:
        raise CommandError(f"{name}: {error}") from None


def _ask(arguments: argparse.Namespace) -> int:
    cluster = _find_cluster(arguments)

    def write() -> str:
        rollout = cluster.read_rollout(arguments.name)
        wave = getattr(arguments, "wave", None)
        request = plan_request(rollout, arguments.verb, wave, datetime.now(UTC))
        cluster.replace_rollout(with_request(rollout, request))
        return request

    request = again_if_changed(write)
    answer = wait_for(lambda: find_answer(cluster.read_rollout(arguments.name), request))
    print(as_text([f"{arguments.name}: {answer.message}"]), flush=True)
    if not answer.accepted:
        return 1
    goal = _GOALS.get(arguments.verb, "Complete")
    return _follow(arguments, cluster, "text", goal) if arguments.watch else 0


_GOALS = {"abort": "Aborted", "rollback": "RolledBack"}
"""The end that is asked for by verbs that ask for one."""
_VERBS = {"plan": _plan, "status": _status, **dict.fromkeys(get_args(Verb), _ask)}
