"""What the status says of the change that goes on, read beside the steps of the spec. Pure.

The operator says which step it is at; what that step is stands in the spec, and is left out where the spec
has other steps than the status speaks of.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from modelservice_cli.rollout.facts import Facts, Object
from modelservice_cli.rollout.progress.durations import duration_text, time_after
from modelservice_operator.api import CanaryStep, InvalidSpec, Rollout, parse_model_service

Mark = Literal["done", "now", "stopped", "skipped", "next"]


class Step(NamedTuple):
    """One step of a Canary."""

    text: str
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a change stands still."""

    reason: str
    """As in the status."""
    since: str
    why: str
    remedy: str
    """The verbs that end it."""
    until: str | None
    """When it ends by itself."""
    needs_person: bool
    """Whether nothing but a person ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one revision replaces another; what the operator does not say is None, or empty."""

    strategy: str
    revision: str
    phase: str
    weight: int | None
    """Percent of the traffic that the revision should get now."""
    actual: int
    """Percent of the available pods that are its own."""
    step: str
    """Which step goes on, and what it is."""
    steps: tuple[Step, ...]
    pause: Pause | None
    contract: str
    analysis: str
    """How far an analysis is that is no step: the one before, or the one that watches after the change."""
    reason: str
    """Why it was aborted."""
    message: str
    previous: str
    """The revision that was replaced and is still kept."""
    previous_until: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it goes on any more."""
        return self.phase == "Complete" and not self.previous


def read_change(facts: Facts) -> Change | None:
    """Return what the status says of a change, None where its operator does not know that yet."""
    rollout = facts.rollout
    if not rollout.get("strategy") or not rollout.get("phase"):
        return None
    if facts.stable is None:
        # The first revision replaces none: it goes by no steps.
        rollout = {name: value for name, value in rollout.items() if name not in ("step", "steps")}
    spec = _spec(facts)
    steps = _spec_steps(rollout, spec)
    revision = str(rollout.get("revision") or "")
    traffic = {one["revision"]: one for one in facts.status.get("traffic") or ()}
    step = _step_text(rollout, steps)
    return Change(
        strategy=str(rollout["strategy"]),
        revision=revision,
        phase=str(rollout["phase"]),
        weight=rollout.get("weight"),
        actual=(traffic.get(revision) or {}).get("actual", 0),
        step=step,
        steps=_marked(rollout, steps),
        pause=_pause(rollout, spec, steps),
        contract=str(rollout.get("contract") or ""),
        analysis="" if ": analysis" in step else _analysis_text(rollout.get("analysis") or {}, None),
        reason=str(rollout.get("reason") or ""),
        message=str(rollout.get("message") or ""),
        previous=str(rollout.get("previousRevision") or ""),
        previous_until=_previous_until(rollout, spec),
    )


def _spec(facts: Facts) -> Rollout | None:
    """Return the options that the status speaks of, None where the spec is invalid or newer."""
    if facts.status.get("observedGeneration") != facts.service["metadata"].get("generation"):
        return None
    try:
        return parse_model_service(facts.service, is_stored=True).spec.rollout
    except InvalidSpec:
        return None


def _spec_steps(rollout: Object, spec: Rollout | None) -> tuple[CanaryStep, ...]:
    steps = spec.canary.steps if spec is not None and spec.canary is not None else ()
    return steps if len(steps) == rollout.get("steps") else ()


def _now(rollout: Object, steps: tuple[CanaryStep, ...]) -> CanaryStep | None:
    number = rollout.get("step")
    return steps[number] if number is not None and number < len(steps) else None


def _step_text(rollout: Object, steps: tuple[CanaryStep, ...]) -> str:
    number, count = rollout.get("step"), rollout.get("steps")
    if number is None or not count:
        return ""
    if number >= count:
        return f"all {count} steps are done"
    why = _why_skipped(rollout)
    if why:
        which = "is" if number + 1 == count else "and those after it are"
        return f"step {number + 1} of {count} {which} skipped: {why}"
    now = _now(rollout, steps)
    where = f"step {number + 1} of {count}"
    if now is None:
        return where
    if now.analysis is not None:
        return f"{where}: analysis: {_analysis_text(rollout.get('analysis') or {}, now.analysis.count)}"
    return f"{where}: {_text(now)}"


def _why_skipped(rollout: Object) -> str:
    if rollout.get("promoted"):
        return "somebody said promote"
    return "nothing of the old revision answers" if rollout.get("skipsSteps") else ""


def _text(step: CanaryStep) -> str:
    if step.set_weight is not None:
        return f"weight {step.set_weight}%"
    if step.pause is not None:
        seconds = step.pause.duration_seconds
        return "pause" if seconds is None else f"pause {duration_text(seconds)}"
    return "analysis"


def _analysis_text(analysis: Object, count: int | None) -> str:
    if not analysis and count is None:
        return ""
    good, bad, nothing = (analysis.get(one) or 0 for one in ("measured", "failed", "inconclusive"))
    wanted = f"{good} of {count}" if count is not None else str(good)
    return f"{wanted} good, {bad} bad, {nothing} said nothing"


def _marked(rollout: Object, steps: tuple[CanaryStep, ...]) -> tuple[Step, ...]:
    number = rollout.get("step") or 0
    here: Mark = "stopped" if rollout["phase"] == "Aborted" else "now"
    to_come: Mark = "next"
    if _why_skipped(rollout):
        here = to_come = "skipped"
    return tuple(
        Step(_text(one), "done" if index < number else here if index == number else to_come)
        for index, one in enumerate(steps)
    )


_RESUME, _PROMOTE = "resume or promote", "promote or abort"
_PAUSES = {
    "PauseStep": ("the step waits for a person", _RESUME),
    "Requested": ("somebody asked for it", _RESUME),
    "Inconclusive": ("the analysis could say nothing", "resume, promote or abort"),
    "AwaitingPromotion": ("a person decides about the switch", _PROMOTE),
    "Preview": ("the new pods can be looked at before the switch", _PROMOTE),
}
"""Why, and what ends it."""
_FOR_PERSONS = frozenset({"PauseStep", "Requested", "Inconclusive", "AwaitingPromotion"})


def _pause(rollout: Object, spec: Rollout | None, steps: tuple[CanaryStep, ...]) -> Pause | None:
    reason = rollout.get("paused")
    if reason is None or rollout["phase"] != "Paused":
        return None
    why, remedy = _PAUSES.get(reason, (str(reason), _RESUME))
    seconds = _pause_seconds(rollout, spec, steps)
    since = str(rollout.get("pausedSince") or "")
    # A step counts its time from its beginning: after a pause that was asked for it is paused later.
    begun = (rollout.get("stepSince") if reason == "PauseStep" else None) or since
    # Without the step nobody knows whether it has a duration: it is not taken for one that a person ends.
    is_open = reason != "PauseStep" or (_now(rollout, steps) is not None and seconds is None)
    return Pause(
        reason=str(reason),
        since=since,
        why=why if is_open else "the step waits",
        remedy=remedy,
        until=time_after(begun, seconds) if seconds is not None else None,
        needs_person=reason in _FOR_PERSONS and is_open,
    )


def _pause_seconds(rollout: Object, spec: Rollout | None, steps: tuple[CanaryStep, ...]) -> int | None:
    """Return how long the pause takes, None where it has no end of its own or none is known."""
    if rollout["paused"] == "Preview":
        return spec.blue_green.preview_seconds if spec is not None and spec.blue_green is not None else None
    now = _now(rollout, steps)
    is_step = rollout["paused"] == "PauseStep"
    return now.pause.duration_seconds if is_step and now is not None and now.pause is not None else None


def _previous_until(rollout: Object, spec: Rollout | None) -> str | None:
    if spec is None or not rollout.get("previousRevision"):
        return None
    delay = spec.blue_green.scale_down_delay_seconds if spec.blue_green is not None else 0
    return time_after(rollout.get("promotedAt"), max(spec.rollback_window_seconds, delay))
