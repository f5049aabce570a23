"""A status as text: the parts of a report, and one line for a log. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from modelservice_cli.rollout.facts import Object
from modelservice_cli.rollout.pods import PodTrouble
from modelservice_cli.rollout.progress.change import Change, Mark, Pause
from modelservice_cli.rollout.progress.durations import left_text
from modelservice_cli.rollout.progress.gates import telling, verdict_line, verdict_notes, verdict_table
from modelservice_cli.rollout.progress.status import RevisionStatus, RolloutStatus, State
from modelservice_cli.rollout.report import Part, Table, one_line

_PODS_SHOWN = 10
_OUTCOMES_SHOWN = 3
_VERDICTS_SHOWN = 9
"""Three looks at three metrics."""
_UNKNOWN = "?"
UNSETTLED = "The pods have changed since the operator wrote this status: counts and traffic may differ."


def status_report(status: RolloutStatus, now: datetime) -> list[Part]:
    """Return the status for people."""
    parts: list[Part] = [headline(status)]
    lines = [*change_lines(status, now), *_step_row(status)]
    if lines:
        parts.append("\n".join(lines))
    if status.revisions:
        parts.append(_revision_table(status))
    gates = gate_parts(status, now, _VERDICTS_SHOWN)
    return [*parts, *gates, *closing_parts(status), *pod_parts(status)]


def _step_row(status: RolloutStatus) -> list[str]:
    steps = status.change.steps if status.change and not status.change.is_over else ()
    return ["  ".join(f"{_MARKS[one.mark]} {one.text}" for one in steps)] if steps else []


_MARKS: Mapping[Mark, str] = {"done": "[x]", "now": "[>]", "stopped": "[!]", "skipped": "[-]", "next": "[ ]"}


def headline(status: RolloutStatus) -> str:
    """Return how far the change is, and why."""
    said = f"\n{status.reason}: {one_line(status.message)}" if status.message else ""
    return f"{status.name} in namespace {status.namespace}: {_STATES[status.state]}{said}"


def change_lines(status: RolloutStatus, now: datetime) -> list[str]:
    """Return what goes on in the change, and what a person can do; none where nothing does."""
    change = status.change
    if change is None:
        return []
    return list(map(one_line, _change_lines(status, change, now)))


def _change_lines(status: RolloutStatus, change: Change, now: datetime) -> Iterator[str]:
    if not change.is_over:
        yield f"{change.strategy} of {change.revision}: {change.phase}{_weight(change)}"
    if change.step and change.phase != "Complete":
        left = f", {left_text(change.pause.until, now)}" if change.pause and change.pause.until else ""
        yield f"{change.step[0].upper()}{change.step[1:]}{left}"
    if change.pause is not None:
        yield _pause_line(status, change.pause)
    if change.contract and change.phase != "Complete":
        yield f"Contract: {change.contract}"
    if change.analysis and not change.is_over:
        yield f"Analysis: {change.analysis}"
    if change.phase == "Aborted" and change.reason != status.reason:
        yield f"{change.phase}: {_because(change.reason, change.message, status.message)}"
    if change.previous:
        yield _previous_line(change, now)


def _weight(change: Change) -> str:
    return f", weight {change.weight}% (actual {change.actual}%)" if change.weight is not None else ""


def _pause_line(status: RolloutStatus, pause: Pause) -> str:
    until = f" until {pause.until}" if pause.until else ""
    return (
        f"Paused since {pause.since}{until}: {pause.why}. Say {pause.remedy} (modelservice rollout "
        f"{pause.remedy.split()[0].strip(',')} {status.name} -n {status.namespace})."
    )


def _previous_line(change: Change, now: datetime) -> str:
    if change.previous_until is None:
        return f"Previous revision: {change.previous}"
    left = left_text(change.previous_until, now)
    return f"Previous revision: {change.previous}, kept until {change.previous_until} ({left})"


def _because(reason: object, message: object, said: str = "") -> str:
    """The reason, with the message unless it has been said at the top."""
    shown = (str(one) for one in (reason, message if message != said else None) if one)
    return ": ".join(shown) or "-"


def gate_parts(status: RolloutStatus, now: datetime, most_rows: int) -> list[Part]:
    """Return what the gates said: a table, and the words that some of them have for it."""
    verdicts = telling(status.verdicts)
    if not verdicts:
        return []
    notes = "\n".join(map(one_line, verdict_notes(verdicts)))
    return [verdict_table(verdicts, now, most_rows), *([notes] if notes else [])]


def closing_parts(status: RolloutStatus) -> list[Part]:
    """Return what became of earlier revisions, and the conditions."""
    outcomes = [one for one in status.outcomes if one.get("outcome") != "Stable"]
    parts: list[Part] = []
    if outcomes:
        parts.append(_outcome_table(outcomes[-_OUTCOMES_SHOWN:], status.message))
    if status.conditions:
        parts.append(_condition_table(status))
    return parts


def pod_parts(status: RolloutStatus) -> list[Part]:
    """Return which pods are not ready, and what is not known of them."""
    parts: list[Part] = []
    if status.pods:
        parts.append(_pod_table(status))
    if not status.settled:
        parts.append(UNSETTLED)
    if status.unreadable:
        unreadable = ", ".join(status.unreadable)
        parts.append(f"You may not read {unreadable} here: what they would tell is missing.")
    return parts


def _outcome_table(outcomes: Sequence[Object], said: str) -> Table:
    return Table(
        ("REVISION", "OUTCOME", "SINCE", "WHY"),
        tuple(
            (
                str(one.get("revision")),
                str(one.get("outcome")),
                str(one.get("time")),
                _because(one.get("reason"), one.get("message"), said),
            )
            for one in outcomes
        ),
    )


_STATES: Mapping[State, str] = {
    "Unobserved": "not seen by the operator yet",
    "Progressing": "in progress",
    "Paused": "paused, it waits for you",
    "Complete": "complete",
    "Degraded": "complete, but it needs you",
    "Stalled": "it needs you",
    "GivenUp": "given up, it needs you",
}


def _revision_table(status: RolloutStatus) -> Table:
    return Table(
        ("REVISION", "ROLE", "WANTED", "READY", "AVAILABLE", "TRAFFIC", "GOAL", "MODEL"),
        tuple(
            (
                one.revision,
                one.role,
                *(_shown(count) for count in (one.wanted, one.ready, one.available)),
                f"{one.traffic}%",
                f"{one.weight}%",
                one.model or _UNKNOWN,
            )
            for one in status.revisions
        ),
    )


def _condition_table(status: RolloutStatus) -> Table:
    """Those that people read; Reconciling and Stalled repeat them for tools."""
    conditions = [one for one in status.conditions if one["type"] not in ("Reconciling", "Stalled")]
    return Table(
        ("CONDITION", "HOLDS", "SINCE", "WHY"),
        tuple(
            (
                str(one["type"]),
                {"True": "yes", "False": "no"}.get(one["status"], "unknown"),
                str(one.get("lastTransitionTime", "")),
                _because(one["reason"], one.get("message"), status.message),
            )
            for one in conditions
        ),
    )


def _pod_table(status: RolloutStatus) -> Table:
    rows = [(one.pod, one.revision, one.phase, _pod_why(one, status.reason)) for one in status.pods]
    more = len(rows) - _PODS_SHOWN
    shown = rows[:_PODS_SHOWN] + ([(f"and {more} more", "", "", "")] if more > 0 else [])
    return Table(("POD NOT READY", "REVISION", "PHASE", "WHY"), tuple(shown))


def _pod_why(pod: PodTrouble, said: str) -> str:
    """The reason, with the message unless that reason has been explained at the top."""
    if not pod.reason:
        return "-"
    return pod.reason if pod.reason == said or not pod.message else f"{pod.reason}: {pod.message}"


def status_line(status: RolloutStatus) -> str:
    """Return the status as one line, for a log; it differs only where the state does."""
    revisions = ", ".join(
        f"{one.revision} ({one.role}) {count_text(one)}"
        + (f" {one.traffic}%" if len(status.revisions) > 1 else "")
        for one in status.revisions
    )
    change = status.change if status.change and not status.change.is_over else None
    parts = (
        f"{status.name}: {_STATES[status.state]}",
        revisions,
        *((_change_words(change), verdict_line(status.verdicts)) if change else ()),
        f"{status.reason}: {status.message}" if status.message else status.reason,
        "" if status.settled else "pods have changed since",
    )
    return one_line("; ".join(part for part in parts if part))


def count_text(one: RevisionStatus) -> str:
    """Return how many pods of a revision are available, of how many."""
    if one.available is not None and one.wanted is not None and one.available > one.wanted:
        return f"{one.available} available, {one.wanted} wanted"
    return f"{_shown(one.available)} of {_shown(one.wanted)} available"


def _change_words(change: Change) -> str:
    pause = change.pause
    until = f" until {pause.until}" if pause and pause.until else ""
    words = (
        f"{change.strategy} {change.phase}{_weight(change)}",
        change.step,
        f"{pause.why}{until} ({pause.remedy})" if pause else "",
        f"contract {change.contract}" if change.contract else "",
        f"analysis: {change.analysis}" if change.analysis else "",
        f"previous revision {change.previous}" if change.previous else "",
    )
    return ", ".join(word for word in words if word)


def _shown(count: int | None) -> str:
    return _UNKNOWN if count is None else str(count)
