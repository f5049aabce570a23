"""How a rollout gets from step to step: weights reached, waits that end, analyses that are done. Pure.

Everything follows from the recorded progress and what is observed, so an operator that is killed between a
decision and its record decides the same again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from modelservice_operator.decide.rollout.model import Analyse, Progress, SetWeight, Wait
from modelservice_operator.decide.rollout.traffic import split

if TYPE_CHECKING:
    from datetime import datetime

    from modelservice_operator.decide.rollout.model import (
        Evaluated,
        PauseReason,
        RolloutSpec,
        RolloutState,
    )

EVALUATION_FAILED = "EvaluationFailed"
EVALUATION_INCONCLUSIVE = "EvaluationInconclusive"
CONTRACT_BROKEN = "ContractBroken"
ANALYSIS_FAILED = "AnalysisFailed"
ROLLED_BACK = "RolledBack"
_EVALUATION_BARS: dict[Evaluated | None, str] = {
    "Failed": EVALUATION_FAILED,
    "Inconclusive": EVALUATION_INCONCLUSIVE,
}
VERIFY_SECONDS = 10.0
"""How long a pod may take to say what it serves: one that cannot be asked holds up no change for ever."""
LATE_SECONDS = 20.0
"""So long after that time was over, nobody was there to ask: an operator was down, or a clock was set."""

_TIMES = (
    "verifying_since",
    "since",
    "short_since",
    "stable_down_since",
    "paused_since",
    "measured_at",
    "promoted_at",
)
"""When things happened, as a `Progress` has them."""


def begin(spec: RolloutSpec, observed: RolloutState, now: datetime) -> Progress:
    """Return what is recorded of the rollout to the target, a new record where there is none."""
    known = _without_times_to_come(observed.progress, now) if observed.progress else None
    if known is None or known.revision != observed.target:
        # The revision that was replaced a moment ago comes back as it went: at once.
        is_way_back = known is not None and known.previous == observed.target
        return Progress(
            revision=observed.target,
            evaluation="Passed" if is_way_back else None,
            evaluation_retries=observed.evaluation_retries,
            contract="Passed" if is_way_back else None,
            promoted=is_way_back,
            steps_hash=spec.steps_hash,
            since=now if is_change(observed) else None,
            short_since=None if observed.stable == observed.target else observed.started_at,
            index=0 if is_change(observed) else len(spec.steps),
        )
    if known.steps_hash == spec.steps_hash:
        return known
    if observed.stable == observed.target:
        return replace(known, steps_hash=spec.steps_hash, index=len(spec.steps))
    return _enter(replace(known, steps_hash=spec.steps_hash, promoted=False), 0, now)


def is_change(observed: RolloutState) -> bool:
    """Whether one revision is to replace another."""
    return observed.stable not in (None, observed.target)


def _without_times_to_come(progress: Progress, now: datetime) -> Progress:
    """A time to come is of a clock that was wrong."""
    to_come: dict[str, Any] = {
        name: now for name in _TIMES if (time := getattr(progress, name)) is not None and time > now
    }
    return replace(progress, **to_come) if to_come else progress


def obey(progress: Progress, observed: RolloutState, now: datetime) -> Progress:
    """Return the progress after what a person asks for right now; without a change that asks for nothing."""
    if not is_change(observed):
        return progress
    if observed.verb == "promote":
        return replace(progress, promoted=True, paused=None, paused_since=None)
    if observed.verb == "pause":
        return replace(progress, paused="Requested", paused_since=now)
    if observed.verb != "resume":
        return progress
    if progress.paused in ("AwaitingPromotion", "Preview"):
        return replace(progress, promoted=True, paused=None, paused_since=None)
    if progress.paused in ("PauseStep", "Inconclusive"):
        return _enter(progress, progress.index + 1, now)
    # The time of the pause is not the step's.
    lost = _age(progress.paused_since, now)
    since = progress.since + lost if progress.since else None
    return replace(progress, paused=None, paused_since=None, since=since)


def verify(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> Progress:
    """Return the progress with what is known of the target's inputs and outputs by now."""
    if not needs_contract(spec, observed, progress):
        return progress
    if not observed.state(observed.target).serving:
        return replace(progress, verifying_since=None)
    if progress.verifying_since is None:
        return replace(progress, verifying_since=now)
    age_seconds = _age(progress.verifying_since, now).total_seconds()
    if age_seconds > VERIFY_SECONDS + LATE_SECONDS:
        return replace(progress, verifying_since=now)
    return replace(progress, contract="Unknown") if age_seconds >= VERIFY_SECONDS else progress


def needs_contract(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether the target's inputs and outputs have to be looked at before it gets traffic."""
    return is_change(observed) and spec.contract != "Ignore" and progress.contract is None


def is_admitted(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether the target may get traffic."""
    is_asked = not needs_evaluation(spec, observed, progress) and not needs_contract(spec, observed, progress)
    return is_asked and find_bar(spec, observed, progress) is None


def needs_evaluation(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> bool:
    """Whether the target has to be evaluated before it gets a pod; one that has served did show itself.

    A first one that was started before anybody asked may be all that answers: it goes on.
    """
    if not spec.is_evaluated or observed.has_served or progress.evaluation is not None:
        return False
    return is_change(observed) or (observed.stable is None and not observed.state(observed.target).wanted)


def find_bar(spec: RolloutSpec, observed: RolloutState, progress: Progress) -> str | None:
    """Return the gate that keeps the target from clients; the way back to one that served is never barred."""
    if observed.has_served:
        return None
    if spec.is_evaluated and progress.evaluation in _EVALUATION_BARS:
        return _EVALUATION_BARS[progress.evaluation]
    is_broken = progress.contract == "Failed" and spec.contract == "Enforce"
    return CONTRACT_BROKEN if is_broken else None


def current_weight(spec: RolloutSpec, progress: Progress) -> int:
    """Return the weight of the step that goes on: that of the last `setWeight`, 100 after the last step."""
    if is_past_steps(spec, progress):
        return 100
    weights = [one.weight for one in spec.steps[: progress.index + 1] if isinstance(one, SetWeight)]
    return weights[-1] if weights else 0


def is_past_steps(spec: RolloutSpec, progress: Progress) -> bool:
    """Whether there is no step that holds anything up."""
    return progress.promoted or progress.skips or progress.index >= len(spec.steps)


def run_of(spec: RolloutSpec, progress: Progress) -> str | None:
    """Return the name of the analysis that has to be measured now, None where there is none."""
    if progress.paused or is_past_steps(spec, progress):
        return None
    is_analysis = isinstance(spec.steps[progress.index], Analyse)
    return f"{progress.revision}/{progress.steps_hash}/{progress.index}" if is_analysis else None


def advance(
    spec: RolloutSpec, observed: RolloutState, progress: Progress, surge: int, now: datetime
) -> Progress:
    """Return the progress after all steps that are done now."""
    if is_past_steps(spec, progress):
        return go_on(progress)
    while not is_past_steps(spec, progress) and progress.paused != "Requested" and not progress.reason:
        step = spec.steps[progress.index]
        if isinstance(step, SetWeight):
            after = _reach(spec, observed, progress, surge, now)
        elif isinstance(step, Wait):
            after = _wait(step, progress, now)
        else:
            after = _analyse(step, spec, progress, now)
        if after.index == progress.index:
            return after
        progress = after
    return progress


def due_seconds(spec: RolloutSpec, progress: Progress, now: datetime) -> float | None:
    """Return when something is over that no event ends: a wait, a look at the target, patience."""
    ends: list[tuple[datetime | None, float]] = []
    if progress.contract is None and spec.contract != "Ignore":
        ends.append((progress.verifying_since, VERIFY_SECONDS))
    if progress.paused == "Preview":
        ends.append((progress.paused_since, spec.preview_seconds))
    if progress.paused == "PauseStep" and progress.index < len(spec.steps):
        step = spec.steps[progress.index]
        if isinstance(step, Wait) and step.seconds is not None:
            ends.append((progress.since, step.seconds))
    if not progress.skips:
        ends.append((progress.stable_down_since, _patience_seconds(spec)))
    left = [seconds - _age(since, now).total_seconds() for since, seconds in ends if since]
    return max(0.0, min(left)) if left else None


def _patience_seconds(spec: RolloutSpec) -> float:
    """How long nothing of stable may answer before the target needs no steps any more."""
    return max(1.0, spec.surge_probe_seconds or 0.0)


def look_at_stable(spec: RolloutSpec, observed: RolloutState, progress: Progress, now: datetime) -> Progress:
    """Return the progress without steps where nothing of stable has answered for a while: nothing is lost."""
    stable = observed.state(observed.stable or "")
    if stable.serving or not stable.settled or not stable.wanted:
        return replace(progress, stable_down_since=None)
    times = (progress.stable_down_since, observed.down_since, now)
    since = min(one for one in times if one)
    skips = progress.skips or _age(since, now).total_seconds() >= _patience_seconds(spec)
    return replace(progress, stable_down_since=since, skips=skips)


def go_on(progress: Progress) -> Progress:
    """Return the progress without a pause, but for one that a person asked for."""
    return progress if progress.paused == "Requested" else replace(progress, paused=None, paused_since=None)


def _enter(progress: Progress, index: int, now: datetime) -> Progress:
    return replace(
        go_on(progress),
        index=index,
        since=now,
        run="",
        measured=0,
        failed=0,
        inconclusive=0,
        measured_at=None,
    )


def _reach(
    spec: RolloutSpec, observed: RolloutState, progress: Progress, surge: int, now: datetime
) -> Progress:
    """A weight is reached when the pods that answer make it: pods that scaling adds are not waited for."""
    weight = current_weight(spec, progress)
    target, stable = observed.state(observed.target), observed.state(observed.stable or "")
    here = min(spec.replicas, target.serving + stable.serving)
    _, wanted = split_by(spec, max(here, 1), weight, surge)
    most_of_stable, most_of_target = split_by(spec, spec.replicas, weight, surge)
    is_led_to = weight == 0 or wanted == 0 or observed.all_lead_to(target.name)
    is_made = stable.wanted <= most_of_stable and target.wanted <= most_of_target
    # The only pod cannot be shared.
    made = weight if most_of_stable and most_of_target else 100 if most_of_target else 0
    is_led_to = is_led_to and is_weighed(spec, observed, made)
    is_reached = target.settled and target.serving >= wanted and is_led_to and is_made
    return _enter(progress, progress.index + 1, now) if is_reached else progress


def split_by(spec: RolloutSpec, replicas: int, weight: int, surge: int) -> tuple[int, int]:
    """Return (pods of stable, pods of the target); one that is shown has a pod without any weight too."""
    of_stable, of_target = split(replicas, weight, surge, is_routed=spec.is_routed)
    is_only_shown = weight == 0 and replicas > 0 and surge > 0 and spec.is_routed and spec.is_shown
    return of_stable, 1 if is_only_shown else of_target


def is_only_shown(spec: RolloutSpec, progress: Progress) -> bool:
    """Whether the target gets what testers send, or copies, and nothing else yet."""
    is_shown = spec.strategy == "Canary" and spec.is_routed and spec.is_shown
    return is_shown and not is_past_steps(spec, progress) and current_weight(spec, progress) == 0


def is_weighed(spec: RolloutSpec, observed: RolloutState, weight: int) -> bool:
    """Whether gateways, where any lead here, give the target this percentage, and have for long enough."""
    if not spec.is_routed or spec.strategy != "Canary":
        return True
    routing = observed.routing
    if routing is None or routing.weights is None or not routing.is_settled:
        return False
    return routing.weights.get(observed.target, 0) == weight


def _wait(step: Wait, progress: Progress, now: datetime) -> Progress:
    if step.seconds is not None and _age(progress.since, now).total_seconds() >= step.seconds:
        return _enter(progress, progress.index + 1, now)
    return _pause(progress, "PauseStep", now)


def _analyse(step: Analyse, spec: RolloutSpec, progress: Progress, now: datetime) -> Progress:
    run = f"{progress.revision}/{spec.steps_hash}/{progress.index}"
    if progress.run != run:
        return replace(_enter(progress, progress.index, now), run=run)
    if progress.failed > step.failure_limit:
        return replace(progress, reason=ANALYSIS_FAILED, paused=None, paused_since=None)
    if progress.measured >= step.count:
        return _enter(progress, progress.index + 1, now)
    if progress.inconclusive > step.inconclusive_limit:
        return _pause(progress, "Inconclusive", now)
    return progress


def _pause(progress: Progress, reason: PauseReason, now: datetime) -> Progress:
    return progress if progress.paused == reason else replace(progress, paused=reason, paused_since=now)


def waits_for_person(spec: RolloutSpec, progress: Progress) -> bool:
    """Whether the rollout is paused until somebody says how to go on."""
    if progress.paused != "PauseStep":
        return progress.paused in ("Requested", "Inconclusive", "AwaitingPromotion")
    step = spec.steps[progress.index] if progress.index < len(spec.steps) else None
    return isinstance(step, Wait) and step.seconds is None


def preview(spec: RolloutSpec, progress: Progress, now: datetime, *, is_there: bool) -> Progress:
    """Return the progress of a BlueGreen whose new pods are all there, or not yet."""
    if progress.promoted or progress.skips or progress.paused == "Requested":
        return go_on(progress)
    if not is_there:
        # A preview that has begun goes on by the clock: scaling never keeps the switch back.
        return replace(progress, paused=None)
    if not spec.auto_promote:
        return _pause(progress, "AwaitingPromotion", now)
    if spec.preview_seconds:
        since = progress.paused_since or now
        progress = replace(progress, paused="Preview", paused_since=since)
        if _age(progress.paused_since, now).total_seconds() < spec.preview_seconds:
            return progress
    return replace(progress, promoted=True, paused=None, paused_since=None)


def _age(time: datetime | None, now: datetime) -> timedelta:
    """Return how old a time is; one to come is of a clock that was wrong."""
    return max(now - time, timedelta()) if time else timedelta()
