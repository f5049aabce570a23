"""`rollout history` and `rollout diff`: the recorded revisions and what they differ in. Pure."""

from typing import Any

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Facts, Object, Record, find_record
from modelservice_cli.rollout.report import Part, Table
from modelservice_cli.rollout.verbs.changes import Change, changes_between, lines_of
from modelservice_cli.rollout.verbs.contract import contract_lines
from modelservice_cli.rollout.verbs.lineage import predecessor

_FIELDS_SHOWN = 3
_HEADER = ("NUMBER", "REVISION", "CREATED", "STATE", "CHANGED", "MODEL", "IMAGE")
_OUTCOME = ("OUTCOME", "SINCE", "WHY")
"""Columns for what became of a revision, where the operator says it."""


def history_report(facts: Facts) -> list[Part]:
    """Return the history as a table."""
    if not facts.records:
        return [f"{facts.name} has no recorded revision yet"]
    header = (*_HEADER, *_OUTCOME) if facts.outcomes else _HEADER
    return [Table(header, tuple(_row(facts, one, before) for one, before in _with_predecessors(facts)))]


def history_json(facts: Facts) -> list[dict[str, Any]]:
    """Return the history as JSON."""
    return [
        {
            "number": one.number,
            "revision": one.revision,
            "createdAt": one.created_at,
            "state": _state(facts, one) or None,
            "comparedWith": None if before is None else before.revision,
            "changed": None if before is None else [change.path for change in changes_between(before, one)],
            "model": one.model,
            "image": one.image,
            "outcome": dict(facts.outcome(one.revision)) or None,
        }
        for one, before in _with_predecessors(facts)
    ]


def _with_predecessors(facts: Facts) -> list[tuple[Record, Record | None]]:
    return [(one, predecessor(facts, one)) for one in facts.records or ()]


def _row(facts: Facts, one: Record, before: Record | None) -> tuple[str, ...]:
    row = (
        str(one.number),
        one.revision,
        one.created_at,
        _state(facts, one) or "-",
        "-" if before is None else _paths(changes_between(before, one)),
        one.model,
        one.image,
    )
    return (*row, *_outcome(facts.outcome(one.revision))) if facts.outcomes else row


def _outcome(outcome: Object) -> tuple[str, str, str]:
    why = ": ".join(str(outcome[key]) for key in ("reason", "message") if outcome.get(key))
    return str(outcome.get("outcome") or "-"), str(outcome.get("time") or "-"), why or "-"


def _state(facts: Facts, one: Record) -> str:
    return facts.role(one.revision) or ("never served" if facts.never_served(one) else "")


def _paths(changed: list[Change]) -> str:
    shown = ", ".join(change.path for change in changed[:_FIELDS_SHOWN])
    more = len(changed) - _FIELDS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "nothing"


def diff_report(facts: Facts, revisions: list[str]) -> str:
    """Return what the revisions that a user names differ in. Raises CommandError."""
    before, after = _pair(facts, revisions)
    lines = lines_of(changes_between(before, after)) or ["nothing differs"]
    titles = [f"--- {facts.title(before)}", f"+++ {facts.title(after)}"]
    return "\n".join([*titles, *lines, *contract_lines(facts, before.revision, after.revision)])


def _pair(facts: Facts, revisions: list[str]) -> tuple[Record, Record]:
    if len(revisions) == 2:
        return find_record(facts, revisions[0]), find_record(facts, revisions[1])
    target = facts.record(facts.target)
    if target is None:
        raise CommandError(f"{facts.name} has no target yet: name two revisions of its history")
    if revisions:
        return find_record(facts, revisions[0]), target
    before = predecessor(facts, target)
    if before is None:
        raise CommandError(
            f"{facts.name} has no other revision that has served: there is nothing to compare it with"
            if len(facts.records or ()) > 1
            else f"{facts.name} has one revision only: there is nothing to compare it with"
        )
    return before, target
