"""What a RuntimeRollout says of its phase: one word of reason, and a sentence with what to do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from modelservice_operator.facts.fleet import SKIPPED, State
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelservice_operator.decide.fleet.model import Around, FleetSpec, Run


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is at, and what may hold it up."""

    wave: str
    """The wave whose turn it is; empty behind the last."""
    unavailable: int
    awaited: Sequence[str]
    """Members that are in a change of their own, or of an older run: for their turn, or for room."""


_PLAIN = {
    "RollingBack": "Members take back the image that they had. ",
    "RolledBack": "Members have the image back that they had. ",
    "Aborted": "Somebody ended it. ",
    "Complete": "",
}


def members_text(count: int) -> str:
    """So many members, with the word that goes with it."""
    return "1 member" if count == 1 else f"{count} members"


def updated_text(updated: int, members: int) -> str:
    """How many of so many are updated."""
    return f"{updated} of {members_text(members)} {'is' if members == 1 else 'are'} updated"


def describe(spec: FleetSpec, run: Run, around: Around, hold: Hold) -> tuple[str, str]:
    """Return reason and message for a run in this phase."""
    phase, how_far, wave = run.phase, _how_far(run), hold.wave
    if phase == "Superseded":
        return "Superseded", f"RuntimeRollout {around.superseded_by} took over. {how_far}"
    if phase == "Halted":
        return "TooManyFailures", f"{_failed(spec, run)}: no further one starts. {how_far}"
    if phase == "Complete" and not run.members:
        taken = f"takes no service with ModelRuntime {around.runtime} that could get the image"
        return "NoMembers", f"Nobody moved: at the start, spec.selector {taken}."
    if phase in ("RollingBack", "Progressing") and (crowded := _crowded(spec, run, hold.unavailable)):
        return "TooManyUnavailable", f"{crowded} {how_far}"
    if phase in _PLAIN:
        return phase, f"{_PLAIN[phase]}{how_far}"
    if phase == "Paused":
        by = "spec.paused is true" if spec.paused else "somebody asked for that; 'resume' goes on"
        return "Paused", f"No further member starts: {by}. {how_far}"
    if phase == "AwaitingApproval":
        return "AwaitingApproval", f"Wave {wave} waits for an approval ('approve@{wave}'). {how_far}"
    if phase == "AwaitingWindow":
        when = f" before {format_time(around.changes_at)}" if around.changes_at else ""
        return "OutsideMaintenanceWindow", f"No member starts{when}: all windows are closed. {how_far}"
    return "WaveInProgress", f"{f'Wave {wave}: ' if wave else ''}{how_far}{_awaited(run, hold.awaited)}"


def _crowded(spec: FleetSpec, run: Run, unavailable: int) -> str:
    """Return why nobody starts, there or back; empty where members are on the way, or may be."""
    members = len(run.members) - run.count(State.DROPPED)
    most = spec.most_unavailable(members)
    if unavailable < most or run.on_the_way:
        return ""
    return (
        f"{unavailable} of {members_text(members)} without an available pod: spec.maxUnavailable allows "
        f"{most}. Mend them, or allow more."
    )


def _awaited(run: Run, names: Sequence[str]) -> str:
    """Who is to start, and is in a change of its own; nothing while others are on the way."""
    if not names or run.on_the_way:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f" It waits for changes of {names[0]}{more} to end."


def _failed(spec: FleetSpec, run: Run) -> str:
    last = f", the last one {run.failures[-1].member} ({run.failures[-1].reason})" if run.failures else ""
    return f"{members_text(run.failed)} failed, and spec.maxFailures allows {spec.max_failures}{last}"


def _how_far(run: Run) -> str:
    members = len(run.members) - run.count(State.DROPPED)
    counts = (
        (run.on_the_way, "on the way"),
        (run.failed, "failed"),
        (run.count(*SKIPPED), "skipped"),
        (run.count(State.RETURNED, State.FAILED_RETURNED), "went back"),
    )
    more = "".join(f", {count} {what}" for count, what in counts if count)
    return f"{updated_text(run.count(State.UPDATED), members)}{more}."
