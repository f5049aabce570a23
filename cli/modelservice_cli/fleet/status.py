"""`fleet status`: how far a RuntimeRollout is, and what holds it up. Pure.

The operator's status is the source: what is wrong and what helps are its sentences.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelservice_cli.rollout.facts import Object
from modelservice_operator.facts.recorded import condition_of

Turn = Literal["done", "now", "stopped", "next"]
"""Whether a wave has been, is or comes."""
UNOBSERVED = "Unobserved"
"""What stands for the phase while the operator has not seen the newest edit."""
_ENDS = frozenset({"Complete", "Halted", "RolledBack", "Aborted", "Superseded"})
"""Phases in which it has come to its end, or goes on only when somebody decides anew."""
_COUNTS: Mapping[str, str] = {
    **{name: name for name in ("members", "updated", "moving", "failed", "skipped", "pending")},
    "rolled_back": "rolledBack",
}
_STOPPED = frozenset({"Halted", "RollingBack", "RolledBack", "Aborted", "Superseded"})
_VERBS: Mapping[str, str] = {
    "Paused": "it is paused; say resume or abort",
    "AwaitingApproval": "wave {wave} needs an approval; say approve or abort",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveProgress:
    """How far one wave is; the numbers are of members."""

    name: str
    turn: Turn
    needs_approval: bool
    members: int
    updated: int
    moving: int
    failed: int
    skipped: int
    rolled_back: int
    pending: int
    states: str
    """A letter for each member, as in `status.states`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What `-o json` prints; everything else is drawn from it."""

    name: str
    generation: int
    runtime: str
    image: str | None
    phase: str
    """That of the status, or `Unobserved`."""
    reason: str
    message: str
    """The cause and the remedy."""
    wave: str | None
    progress: str | None
    waves: tuple[WaveProgress, ...]
    status: Object
    """The status as the operator wrote it."""
    goal: str
    """The phase that whoever follows it hopes for."""

    @property
    def is_stalled(self) -> bool:
        """Whether nothing goes on before somebody mends something."""
        return condition_of(self.status, "Stalled").get("status") == "True"

    @property
    def exit_code(self) -> int | None:
        """With what a command ends that follows it, None while it goes on."""
        if self.phase == self.goal:
            return 0
        if self.phase in _ENDS:
            return 1
        return 1 if self.is_stalled and self.phase != UNOBSERVED and not self.waits_for else None

    @property
    def waits_for(self) -> str:
        """What a person has to say before it goes on; empty where it waits for nobody."""
        return _VERBS.get(self.phase, "").format(wave=self.wave)

    @property
    def failures(self) -> tuple[Object, ...]:
        """The members that failed last, or were left out though they might have moved, the newest last."""
        return tuple(self.status.get("failures") or ())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        found = asdict(self)
        del found["goal"]
        return found


def fleet_status(rollout: Object, goal: str = "Complete") -> FleetStatus:
    """Return how far a RuntimeRollout is."""
    status: Object = rollout.get("status") or {}
    spec: Object = rollout.get("spec") or {}
    generation = int(rollout["metadata"].get("generation") or 0)
    phase, reason, message = _judge(status, generation)
    target: Object = spec.get("target") or {}
    return FleetStatus(
        name=str(rollout["metadata"]["name"]),
        generation=generation,
        runtime=str(target.get("runtime", "")),
        image=target.get("image"),
        phase=phase,
        reason=reason,
        message=message,
        wave=status.get("wave"),
        progress=status.get("progress"),
        waves=_waves(spec, status),
        status=status,
        goal=goal,
    )


def _judge(status: Object, generation: int) -> tuple[str, str, str]:
    if status.get("observedGeneration") != generation:
        message = (
            f"The operator has not seen generation {generation} yet. If this stays so, see whether it runs."
        )
        return UNOBSERVED, "NotObserved", message
    ready, degraded = condition_of(status, "Ready"), condition_of(status, "Degraded")
    both = ready.get("status") == degraded.get("status") == "True"
    said = degraded if both else ready
    return str(status.get("phase") or "Pending"), str(said.get("reason", "")), str(said.get("message", ""))


def _waves(spec: Object, status: Object) -> tuple[WaveProgress, ...]:
    asked = {str(one.get("name")): bool(one.get("approval")) for one in spec.get("waves") or ()}
    return tuple(
        _wave(one, states, asked.get(str(one.get("name")), False), status)
        for one, states in _with_states(status)
    )


def _with_states(status: Object) -> Iterator[tuple[Object, str]]:
    """Each wave with the letters of its members, which stand behind those of the waves before."""
    letters, at = str(status.get("states") or ""), 0
    for wave in status.get("waves") or ():
        members = int(wave.get("members") or 0)
        yield wave, letters[at : at + members]
        at += members


def _wave(wave: Object, states: str, approval: bool, status: Object) -> WaveProgress:
    counts = {name: int(wave.get(key) or 0) for name, key in _COUNTS.items()}
    return WaveProgress(
        name=str(wave.get("name")),
        turn=_turn(wave, status),
        needs_approval=approval and not wave.get("approvedAt"),
        states=states,
        **counts,
    )


def _turn(wave: Object, status: Object) -> Turn:
    if wave.get("completedAt"):
        return "done"
    if wave.get("name") != status.get("wave"):
        return "next"
    return "stopped" if status.get("phase") in _STOPPED else "now"
