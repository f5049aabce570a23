"""What the gates of a rollout say, put together with what is recorded already. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec.structs import replace

from modelservice_operator.decide.change.evaluating import write_score
from modelservice_operator.decide.change.measuring import running_analysis
from modelservice_operator.decide.gates.analysis import (
    judge,
    outcome,
    thresholds_from,
    write_number,
    write_verdict,
)
from modelservice_operator.decide.gates.contract import find_breaks
from modelservice_operator.decide.gates.evaluation import GATE as EVALUATION_GATE
from modelservice_operator.decide.gates.evaluation import Judgement, judge_score
from modelservice_operator.decide.resources.evaluation.identity import evaluation_hash
from modelservice_operator.explain.diagnose import loaded_models
from modelservice_operator.explain.rollout.evaluation import find_outcome
from modelservice_operator.facts import pods as podlib
from modelservice_operator.facts.reported import signature_of
from modelservice_operator.facts.signature import signature_in
from modelservice_operator.facts.text.times import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.rollout.model import Progress
    from modelservice_operator.facts.observed import Observed
    from modelservice_operator.facts.scored import Score
    from modelservice_operator.facts.signature import Signature

MOST_VERDICTS = 24
LONGEST_MESSAGE = 1024
_SHOWN_BREAKS = 3
UNKNOWN = "Nobody could tell the inputs and outputs of the new revision, or those of the old one."


class Judged(NamedTuple):
    """The progress after all gates that could be looked at now, and what they said, the newest last."""

    progress: Progress
    verdicts: tuple[Mapping[str, Any], ...] = ()
    scored: Mapping[str, Any] | None = None
    """What an evaluation has just measured."""


def judge_gates(observed: Observed, decision: Decision, now: datetime) -> Judged | None:
    """Return what is known of the gates now, None where no rollout is planned."""
    plan = decision.plan
    if plan is None or plan.progress is None:
        return None
    known = (observed.service.get("status") or {}).get("rollout") or {}
    is_same = known.get("revision") == plan.progress.revision
    judged = Judged(plan.progress, tuple(known.get("verdicts") or ()) if is_same else ())
    judged = _judge_evaluation(observed, decision, judged, now)
    judged = _judge_contract(observed, decision, judged, now)
    if plan.progress.contract == "Unknown" and not (is_same and known.get("contract")):
        judged = _with(judged, _contract_verdict("Inconclusive", UNKNOWN, now))
    return _judge_analysis(observed, decision, judged)


def _with(judged: Judged, *verdicts: Mapping[str, Any]) -> Judged:
    return judged._replace(verdicts=(*judged.verdicts, *verdicts)[-MOST_VERDICTS:])


def _contract_verdict(result: str, message: str, now: datetime) -> dict[str, Any]:
    verdict = {"gate": "Contract", "result": result, "time": format_time(now), "message": message}
    return {name: value for name, value in verdict.items() if value}


def _judge_evaluation(observed: Observed, decision: Decision, judged: Judged, now: datetime) -> Judged:
    """Record what the evaluation came to; until then, what it waits for."""
    evaluating = decision.evaluating
    if evaluating is None:
        return judged
    outcome = find_outcome(observed, evaluating)
    if not outcome.is_over:
        is_told = bool(outcome.message) or observed.job_pods is not None
        message = outcome.message if is_told else judged.progress.message
        return judged._replace(progress=replace(judged.progress, message=message))
    judgement = (
        judge_score(evaluating.wanted, outcome.score)
        if outcome.score
        else Judgement("Inconclusive", outcome.message)
    )
    progress = replace(
        judged.progress,
        evaluation=judgement.result,
        evaluation_hash=evaluation_hash(evaluating.wanted),
        evaluated_sha256=(outcome.score.model_sha256 or "") if outcome.score else "",
        message=judgement.message[:LONGEST_MESSAGE],
    )
    scored = None
    if outcome.score is not None and evaluating.known is None:
        scored = write_score(evaluating, outcome.score, format_time(now))
    verdict = _evaluation_verdict(evaluating.wanted.metric, outcome.score, judgement, now)
    return _with(judged._replace(progress=progress, scored=scored), verdict)


def _evaluation_verdict(
    metric: str, score: Score | None, judgement: Judgement, now: datetime
) -> dict[str, Any]:
    verdict = {
        "gate": EVALUATION_GATE,
        "metric": metric,
        "result": judgement.result,
        "value": write_number(score.value) if score else None,
        "stable": write_number(score.stable) if score else None,
        "threshold": write_number(judgement.threshold),
        "bound": write_number(score.bound) if score else None,
        "rows": score.rows if score else None,
        "time": format_time(now),
        "message": judgement.message[:LONGEST_MESSAGE] or None,
    }
    return {name: value for name, value in verdict.items() if value is not None}


def _judge_contract(observed: Observed, decision: Decision, judged: Judged, now: datetime) -> Judged:
    plan, target = decision.plan, decision.target
    if plan is None or target is None or not plan.verifies or observed.pods is None:
        return judged
    other = _other_than_evaluated(observed, target.name, judged.progress.evaluated_sha256)
    if other is not None:
        progress = replace(judged.progress, contract="Failed", message=other)
        return _with(judged._replace(progress=progress), _contract_verdict("Failed", other, now))
    candidate = signature_of(observed.pods, target.name, observed.pod_reports)
    stable = _stable_signature(observed, plan.stable or "")
    if candidate is not None and stable is not None:
        breaks = find_breaks(stable, candidate)
        message = _summary(breaks)
        result: Literal["Failed", "Passed"] = "Failed" if breaks else "Passed"
        progress = replace(judged.progress, contract=result, message=message)
        return _with(judged._replace(progress=progress), _contract_verdict(result, message, now))
    is_hopeless = stable is None and not _is_ready(observed, plan.stable or "")
    silent = [name for name, said in ((target.name, candidate), (plan.stable, stable)) if said is None]
    if is_hopeless or all(_has_reported(observed, str(name)) for name in silent):
        progress = replace(judged.progress, contract="Unknown")
        return _with(judged._replace(progress=progress), _contract_verdict("Inconclusive", UNKNOWN, now))
    return judged


def _other_than_evaluated(observed: Observed, target: str, evaluated: str) -> str | None:
    """Return what is wrong where a pod has loaded another file than the one that was evaluated."""
    found = {one.sha256 for one in loaded_models(observed.pods or (), target, observed.pod_reports)}
    if not evaluated or found <= {evaluated}:
        return None
    return (
        f"its pods loaded sha256 {', '.join(sorted(found - {evaluated}))}, and {evaluated} was evaluated: "
        "pin the model by spec.model.sha256"
    )


def _stable_signature(observed: Observed, stable: str) -> Signature | None:
    """Return what clients use: what pods of stable say, else what they said once."""
    found = signature_of(observed.pods or (), stable, observed.pod_reports)
    status = observed.service.get("status") or {}
    if found is not None or status.get("stableRevision") != stable:
        return found
    return signature_in(status.get("model") or {})


def _is_ready(observed: Observed, revision: str) -> bool:
    return any(podlib.is_ready(pod) for pod in podlib.of_revision(observed.pods or (), revision))


def _has_reported(observed: Observed, revision: str) -> bool:
    """Whether a server of the revision has answered, and did not say what its model takes."""
    return any(
        podlib.is_ready(pod) and str(pod["metadata"].get("uid")) in observed.pod_reports
        for pod in podlib.of_revision(observed.pods or (), revision)
    )


def _summary(breaks: Sequence[str]) -> str:
    more = f"; and {len(breaks) - _SHOWN_BREAKS} more" if len(breaks) > _SHOWN_BREAKS else ""
    return ("; ".join(breaks[:_SHOWN_BREAKS]) + more)[:LONGEST_MESSAGE]


def _judge_analysis(observed: Observed, decision: Decision, judged: Judged) -> Judged:
    plan, measurement = decision.plan, observed.measurement
    rollout = decision.service.spec.rollout if decision.service else None
    analysis = running_analysis(rollout, plan) if plan and rollout else None
    if plan is None or plan.measures is None or analysis is None or measurement is None:
        return judged
    progress = judged.progress
    if progress.run != plan.measures:
        progress = replace(
            progress, run=plan.measures, measured=0, failed=0, inconclusive=0, measured_at=None
        )
    time = measurement.ended_at.replace(microsecond=0)
    if measurement.run != plan.measures or (progress.measured_at and time <= progress.measured_at):
        return judged
    is_watch = plan.phase == "Complete"
    verdicts = judge(analysis, measurement, thresholds_from(judged.verdicts, analysis) if is_watch else None)
    result = outcome(verdicts)
    progress = replace(
        progress,
        measured=progress.measured + (result == "Passed"),
        failed=progress.failed + (result == "Failed"),
        inconclusive=progress.inconclusive + (result == "Inconclusive"),
        measured_at=time,
    )
    gate = "RollbackWindow" if is_watch else "Analysis"
    written = [write_verdict(gate, one, time) for one in verdicts]
    failed = [f"{one['metric']}: {one.get('message')}" for one in written if one["result"] == "Failed"]
    if failed:
        progress = replace(progress, message=_summary(failed))
    return _with(judged._replace(progress=progress), *written)
