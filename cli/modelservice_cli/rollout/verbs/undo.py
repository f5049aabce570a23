"""`rollout undo`: which revision to go back to, and what to write for it. Pure.

Only the fields that make a revision are written, each as a whole and only where it means something else
now: what a person or an autoscaler decided about replicas stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelservice_cli.errors import CommandError
from modelservice_cli.rollout.facts import Facts, Object, Record, find_record
from modelservice_cli.rollout.verbs.changes import Change, input_changes, lines_of
from modelservice_cli.rollout.verbs.gitops import Source, find_source
from modelservice_operator.api import InvalidSpec, parse_model_service
from modelservice_operator.decide.revision import INPUTS, recorded_domain, revision_inputs
from modelservice_operator.facts.recorded import is_aborted


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """The way back to one revision."""

    service: str
    record: Record
    changes: list[Change]
    """Empty where the spec asks for that revision already."""
    spec: dict[str, Any]
    """The whole spec, with these changes."""
    source: Source | None
    """The tool that will write the spec again."""
    kept_image: str | None
    """The image that the pods get, where it is another than the revision's own."""
    was_aborted: bool
    """The operator does not try this revision before somebody asks for it."""


def plan_undo(facts: Facts, to_revision: str | None, own_manager: str) -> Undo:
    """Return what to write to get back to a revision, or to the one before. Raises CommandError."""
    current = _current_inputs(facts)
    record = find_record(facts, to_revision) if to_revision is not None else _default_record(facts, current)
    wanted = record.snapshot.inputs
    changed = [field for field in INPUTS if current.get(field) != wanted.get(field)]
    return Undo(
        service=facts.name,
        record=record,
        changes=input_changes(current, wanted),
        spec=_with(facts.spec, changed, wanted),
        source=find_source(facts.service, INPUTS, own_manager),
        kept_image=_kept_image(facts, record),
        was_aborted=is_aborted(facts.status, record.revision),
    )


def _current_inputs(facts: Facts) -> dict[str, Any]:
    """Return the inputs as the operator understands them; of an invalid spec, as they are written."""
    try:
        return revision_inputs(parse_model_service(facts.service, is_stored=True).spec)
    except InvalidSpec:
        return {field: facts.spec[field] for field in INPUTS if field in facts.spec}


def _default_record(facts: Facts, current: Mapping[str, Any]) -> Record:
    stable = facts.record(facts.stable)
    if stable is not None and stable.snapshot.inputs != current:
        return stable
    known = facts.records or ()
    newest = stable.number if stable else max((one.number for one in known), default=0)
    earlier = [one for one in known if one.number < newest] if facts.served is None else facts.served
    aborted = facts.status.get("abortedRevisions") or ()
    others = [one for one in earlier if one.snapshot.inputs != current and one.revision not in aborted]
    if others:
        return others[-1]
    hint = ": see 'rollout history', and name one with --to-revision" if len(known) > 1 else ""
    raise CommandError(f"{facts.name} has no earlier revision with other fields that has served{hint}")


def _with(spec: Object, changed: list[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    kept = {field: value for field, value in spec.items() if field not in changed}
    return kept | {field: wanted[field] for field in changed if field in wanted}


def _kept_image(facts: Facts, record: Record) -> str | None:
    """A runtime that is asked for as the stable revision asks for it stays what that one recorded."""
    stable = facts.record(facts.stable)
    if stable is None or stable.snapshot.runtime.requested != record.snapshot.runtime.requested:
        return None
    kept = stable.snapshot.runtime.image_for(recorded_domain(record.snapshot))
    return kept if kept != record.image else None


def undo_report(undo: Undo, title: str, *, dry_run: bool) -> str:
    """Return what was written, or would be."""
    if not undo.changes:
        return f"{undo.service}: the spec asks for {title} already; nothing is written"
    done = "would go back" if dry_run else "goes back"
    lines = [f"{undo.service} {done} to {title}:", *lines_of(undo.changes)]
    if undo.kept_image:
        lines.append(
            f"Its runtime was {undo.record.image}. The pods keep {undo.kept_image}, so this makes a new "
            "revision: undo brings back fields of the spec, not a ModelRuntime."
        )
    elif undo.was_aborted:
        lines.append("It was aborted, so it is not tried before 'modelservice rollout retry' asks for it.")
    return "\n".join(lines)


def refusal(undo: Undo) -> str:
    """Return why nothing is written without --force, and what to change where."""
    assert undo.source is not None
    place = f" ({undo.source.place})" if undo.source.place else ""
    changes = "\n".join(lines_of(undo.changes))
    return (
        f"{undo.source.tool}{place} writes the spec of {undo.service} and would write it again, so nothing "
        f"was changed. Change these fields where it has them from:\n{changes}\n"
        "With --force they are changed here now, and stay so until it writes the next time."
    )
