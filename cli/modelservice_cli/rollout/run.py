"""From the arguments of `rollout` to what is printed."""

import argparse
import json
from datetime import UTC, datetime
from typing import get_args

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster.api import FIELD_MANAGER, Cluster
from modelservice_cli.rollout.cluster.kubeconfig import find_access
from modelservice_cli.rollout.cluster.read import Reader
from modelservice_cli.rollout.cluster.tries import again_if_changed, wait_for
from modelservice_cli.rollout.progress.follow import follow, shower
from modelservice_cli.rollout.progress.status import rollout_status
from modelservice_cli.rollout.progress.text import status_report
from modelservice_cli.rollout.report import as_text
from modelservice_cli.rollout.verbs.ask import Verb, find_answer, nothing_to_do, plan_request, with_request
from modelservice_cli.rollout.verbs.history import diff_report, history_json, history_report
from modelservice_cli.rollout.verbs.newer_runtime import find_outcome, plan_update, with_update
from modelservice_cli.rollout.verbs.undo import plan_undo, refusal, undo_report
from modelservice_runtime.errors import InvalidSettingsError


def run_verb(arguments: argparse.Namespace) -> int:
    """Run one verb; returns the exit code. Raises CommandError."""
    _check_watch(arguments)
    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    namespace = getattr(arguments, "namespace", None) or access.namespace
    cluster = Cluster(access)
    return _VERBS[arguments.verb](arguments, cluster, Reader(cluster, namespace, arguments.name))


def _check_watch(arguments: argparse.Namespace) -> None:
    for flag in ("timeout", "until_paused"):
        if getattr(arguments, flag, None) and not arguments.watch:
            raise InvalidSettingsError(f"--{flag.replace('_', '-')} needs -w")


def _status(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    if arguments.watch:
        return _follow(arguments, reader, arguments.output)
    status = rollout_status(reader.everything())
    if arguments.output == "json":
        print(json.dumps(status.as_json(), indent=2))
    else:
        print(as_text(status_report(status, datetime.now(UTC))))
    return 0


def _follow(arguments: argparse.Namespace, reader: Reader, output: str) -> int:
    with shower(output) as show:
        return follow(reader, show, arguments.timeout, until_paused=arguments.until_paused)


def _history(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    facts = reader.history()
    if arguments.output == "json":
        print(json.dumps(history_json(facts), indent=2))
    else:
        print(as_text(history_report(facts)))
    return 0


def _diff(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    if len(arguments.revisions) > 2:
        raise InvalidSettingsError(f"two revisions can be compared, not {len(arguments.revisions)}")
    print(as_text([diff_report(reader.history(), arguments.revisions)]))
    return 0


def _undo(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> int:
    print(as_text([again_if_changed(lambda: _try_undo(arguments, cluster, reader))]))
    return 0


def _try_undo(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> str:
    facts = reader.history()
    undo = plan_undo(facts, arguments.to_revision, FIELD_MANAGER)
    if undo.changes:
        if undo.source is not None and not arguments.force:
            raise CommandError(refusal(undo))
        cluster.replace_service({**facts.service, "spec": undo.spec}, dry_run=arguments.dry_run)
    return undo_report(undo, facts.title(undo.record), dry_run=arguments.dry_run)


def _ask(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> int:
    request = again_if_changed(lambda: _write_request(arguments.verb, cluster, reader))
    answer = None if request is None else wait_for(lambda: find_answer(reader.service(), request))
    if answer is not None:
        print(as_text([f"{arguments.name}: {answer.message}"]), flush=True)
        if not answer.accepted:
            return 1
    return _follow(arguments, reader, "text") if arguments.watch else 0


def _update_runtime(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> int:
    request = again_if_changed(lambda: _write_update(cluster, reader))
    if request is None:
        print(as_text([f"{arguments.name}: its pods have what their ModelRuntime says; nothing is written"]))
        return 0
    update = wait_for(lambda: find_outcome(reader.service(), request))
    print(as_text([f"{arguments.name}: {update.message}"]), flush=True)
    if update.phase == "Refused":
        return 1
    if not arguments.watch:
        return 0
    code = _follow(arguments, reader, "text")
    ended = find_outcome(reader.service(), request)
    if ended is not None and ended.phase == "Failed":
        # The pods are well again, on the runtime from before: that is not what was asked for.
        print(as_text([f"{arguments.name}: {ended.message}"]), flush=True)
        return 1
    return code


def _write_update(cluster: Cluster, reader: Reader) -> str | None:
    facts = reader.service()
    request = plan_update(facts, datetime.now(UTC))
    if request is not None:
        cluster.replace_service(with_update(facts, request), dry_run=False)
    return request


def _write_request(verb: Verb, cluster: Cluster, reader: Reader) -> str | None:
    facts = reader.service()
    request = plan_request(facts, verb, datetime.now(UTC))
    if request is None:
        print(nothing_to_do(facts, verb))
    else:
        cluster.replace_service(with_request(facts, request), dry_run=False)
    return request


_VERBS = {
    "status": _status,
    "history": _history,
    "diff": _diff,
    "undo": _undo,
    "update-runtime": _update_runtime,
    **dict.fromkeys(get_args(Verb), _ask),
}
