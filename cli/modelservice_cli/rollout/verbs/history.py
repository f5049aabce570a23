"""`rollout history` and `rollout diff`: the recorded revisions and what they differ in. Pure."""

from itertools import pairwise
from typing import Any

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Facts, Record, find_record
from modelservice_cli.rollout.report import Part, Table
from modelservice_cli.rollout.verbs.changes import Change, changes_between, lines_of

_FIELDS_SHOWN = 3


def history_report(facts: Facts) -> list[Part]:
    """Return the history as a table."""
    if not facts.records:
        return [f"{facts.name} has no recorded revision yet"]
    header = ("NUMBER", "REVISION", "CREATED", "STATE", "CHANGED", "MODEL", "IMAGE")
    return [Table(header, tuple(_row(facts, one, changed) for one, changed in _with_changes(facts)))]


def history_json(facts: Facts) -> list[dict[str, Any]]:
    """Return the history as JSON."""
    return [
        {
            "number": one.number,
            "revision": one.revision,
            "createdAt": one.created_at,
            "state": _state(facts, one) or None,
            "changed": None if changed is None else [change.path for change in changed],
            "model": one.model,
            "image": one.image,
        }
        for one, changed in _with_changes(facts)
    ]


def _with_changes(facts: Facts) -> list[tuple[Record, list[Change] | None]]:
    """Return each record with what is another than in the one before; None for the first."""
    records = facts.records or ()
    found: list[tuple[Record, list[Change] | None]] = [(one, None) for one in records[:1]]
    return found + [(after, changes_between(before, after)) for before, after in pairwise(records)]


def _row(facts: Facts, one: Record, changed: list[Change] | None) -> tuple[str, ...]:
    return (
        str(one.number),
        one.revision,
        one.created_at,
        _state(facts, one) or "-",
        "-" if changed is None else _paths(changed),
        one.model,
        one.image,
    )


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
    return "\n".join([f"--- {facts.title(before)}", f"+++ {facts.title(after)}", *lines])


def _pair(facts: Facts, revisions: list[str]) -> tuple[Record, Record]:
    if len(revisions) == 2:
        return find_record(facts, revisions[0]), find_record(facts, revisions[1])
    target = facts.record(facts.target)
    if target is None:
        raise CommandError(f"{facts.name} has no target yet: name two revisions of its history")
    if revisions:
        return find_record(facts, revisions[0]), target
    stable = facts.record(facts.stable)
    earlier = [one for one in facts.records or () if one.number < target.number]
    before = stable if stable is not None and stable != target else (earlier[-1] if earlier else None)
    if before is None:
        raise CommandError(f"{facts.name} has one revision only: there is nothing to compare it with")
    return before, target
