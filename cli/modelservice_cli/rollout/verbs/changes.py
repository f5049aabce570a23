"""What two revisions differ in. Pure."""

import json
from typing import Any, NamedTuple

import msgspec

from modelservice_cli.rollout.facts import Record
from modelservice_operator.facts.fields.differences import compare


class Change(NamedTuple):
    """One field; None where it is not set."""

    path: str
    before: Any
    after: Any


def changes_between(before: Record, after: Record) -> list[Change]:
    """Return the fields of the spec, then those of the runtime as it was recorded."""
    fields = input_changes(before.snapshot.inputs, after.snapshot.inputs)
    return [*fields, *_changes("runtime", _runtime(before), _runtime(after))]


def input_changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """Return the fields of the spec in which these inputs of revisions differ."""
    return _changes("spec", before, after)


def _runtime(record: Record) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record.snapshot.runtime)
    fields.pop("requested", None)  # it is spec.runtime.ref
    return fields


def _changes(root: str, before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    found = compare(root, before, after)
    return sorted((Change(*one) for one in found), key=lambda one: one.path)


def lines_of(changes: list[Change]) -> list[str]:
    """Return three kinds of lines: the field, with `-` what it was, with `+` what it is."""
    lines = []
    for change in changes:
        lines.append(change.path)
        lines += [f"- {_shown(change.before)}"] if change.before is not None else []
        lines += [f"+ {_shown(change.after)}"] if change.after is not None else []
    return lines


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
