"""From the arguments of `rollout` to what is printed."""

import argparse
import contextlib
import json

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.cluster import FIELD_MANAGER, Cluster
from modelservice_cli.rollout.errors import ChangedMeanwhileError
from modelservice_cli.rollout.follow import follow, shower
from modelservice_cli.rollout.history import diff_report, history_json, history_report
from modelservice_cli.rollout.kubeconfig import find_access
from modelservice_cli.rollout.read import Reader
from modelservice_cli.rollout.report import as_text
from modelservice_cli.rollout.status import rollout_status, status_report
from modelservice_cli.rollout.undo import plan_undo, refusal, undo_report

_WRITE_TRIES = 5


def run_verb(arguments: argparse.Namespace) -> int:
    """Run one verb; returns the exit code. Raises CommandError."""
    access = find_access(getattr(arguments, "kubeconfig", None), getattr(arguments, "context", None))
    namespace = getattr(arguments, "namespace", None) or access.namespace
    cluster = Cluster(access)
    return _VERBS[arguments.verb](arguments, cluster, Reader(cluster, namespace, arguments.name))


def _status(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    if arguments.watch:
        with shower(arguments.output) as show:
            return follow(reader, show, arguments.timeout)
    status = rollout_status(reader.everything())
    if arguments.output == "json":
        print(json.dumps(status.as_json(), indent=2))
    else:
        print(as_text(status_report(status)))
    return 0


def _history(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    facts = reader.history()
    if arguments.output == "json":
        print(json.dumps(history_json(facts), indent=2))
    else:
        print(as_text(history_report(facts)))
    return 0


def _diff(arguments: argparse.Namespace, _cluster: Cluster, reader: Reader) -> int:
    print(diff_report(reader.history(), arguments.revisions))
    return 0


def _undo(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> int:
    for _ in range(_WRITE_TRIES - 1):
        # The operator writes its status all the time: what was read may be old already.
        with contextlib.suppress(ChangedMeanwhileError):
            return _try_undo(arguments, cluster, reader)
    return _try_undo(arguments, cluster, reader)


def _try_undo(arguments: argparse.Namespace, cluster: Cluster, reader: Reader) -> int:
    facts = reader.history()
    undo = plan_undo(facts, arguments.to_revision, FIELD_MANAGER)
    if undo.changes:
        if undo.source is not None and not arguments.force:
            raise CommandError(refusal(undo))
        cluster.replace_service({**facts.service, "spec": undo.spec}, dry_run=arguments.dry_run)
    print(undo_report(undo, facts.title(undo.record), dry_run=arguments.dry_run))
    return 0


_VERBS = {"status": _status, "history": _history, "diff": _diff, "undo": _undo}
