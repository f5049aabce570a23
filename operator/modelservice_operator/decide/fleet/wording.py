"""What a RuntimeRollout says of its phase: one word of reason, and a sentence with what to do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelservice_operator.facts.fleet import SKIPPED, State
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from modelservice_operator.decide.fleet.model import Around, FleetSpec, Run

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


def describe(spec: FleetSpec, run: Run, around: Around, wave: str, unavailable: int) -> tuple[str, str]:
    """Return reason and message for a run in this phase."""
    phase, how_far = run.phase, _how_far(run)
    if phase == "Superseded":
        return "Superseded", f"RuntimeRollout {around.superseded_by} took over. {how_far}"
    if phase == "Halted":
        return "TooManyFailures", f"{_failed(spec, run)}: no further one starts. {how_far}"
    if phase == "Complete" and not run.members:
        taken = f"takes no service with ModelRuntime {around.runtime} that could get the image"
        return "NoMembers", f"Nobody moved: at the start, spec.selector {taken}."
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
    return _progressing(spec, run, wave, unavailable, how_far)


def _progressing(spec: FleetSpec, run: Run, wave: str, unavailable: int, how_far: str) -> tuple[str, str]:
    members = len(run.members) - run.count(State.DROPPED)
    most = spec.most_unavailable(members)
    if unavailable >= most and run.on_the_way == 0:
        return "TooManyUnavailable", (
            f"{unavailable} of {members_text(members)} without an available pod: spec.maxUnavailable allows "
            f"{most}. Mend them, or allow more. {how_far}"
        )
    return "WaveInProgress", f"Wave {wave}: {how_far}" if wave else how_far


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
