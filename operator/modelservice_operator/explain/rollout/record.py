"""`status.rollout`: how far the change is, as people and the next decision read it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.change.record import write_progress
from modelservice_operator.decide.change.steering import write_answer
from modelservice_operator.decide.rollout.room.capacity import read_capacity, write_capacity
from modelservice_operator.facts.text.times import format_time, is_to_come

MOST_EVALUATIONS = 8

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from modelservice_operator.decide.decision import Decision
    from modelservice_operator.decide.rollout.model import Capacity
    from modelservice_operator.explain.rollout.gates import Judged
    from modelservice_operator.facts.observed import Observed


def rollout_status(
    observed: Observed, decision: Decision, capacity: Capacity | None, judged: Judged | None, now: datetime
) -> dict[str, Any] | None:
    """Return `status.rollout`, None where there is nothing to say."""
    if decision.target is None or decision.plan is None:
        return None
    answer = decision.steering.answer if decision.steering else None
    rollout = decision.service.spec.rollout if decision.service else None
    known = (observed.service.get("status") or {}).get("rollout") or {}
    status = {
        "strategy": rollout.strategy if rollout else known.get("strategy"),
        "phase": decision.plan.phase,
        "weight": decision.plan.weights.get(decision.target.name, 0),
        "steps": (len(rollout.canary.steps) if rollout.canary else None) if rollout else known.get("steps"),
        **(write_progress(judged.progress) if judged else {}),
        "verdicts": list(judged.verdicts) or None if judged else None,
        "startedAt": _started_at(observed, decision, now),
        "capacity": write_capacity(capacity, decision.target.name) if capacity else None,
        "action": write_answer(answer) if answer else None,
    }
    return {name: value for name, value in status.items() if value is not None} or None


def evaluations(old: Mapping[str, Any], judged: Judged | None) -> list[dict[str, Any]] | None:
    """Return `status.evaluations`: what was measured, each of the same name once, the newest last."""
    known = list(old.get("evaluations") or ())
    scored = judged.scored if judged else None
    if scored is not None:
        known = [*(one for one in known if one.get("key") != scored["key"]), dict(scored)]
    return known[-MOST_EVALUATIONS:] or None


def _started_at(observed: Observed, decision: Decision, now: datetime) -> str | None:
    """Return when pods of the target were asked for: their deadline runs only while they need not wait."""
    plan, target, old = decision.plan, decision.target, observed.service.get("status") or {}
    if plan is None or target is None or not plan.is_under_way or plan.stable is None:
        return None
    known = (old.get("rollout") or {}).get("startedAt") if old.get("targetRevision") == target.name else None
    if is_to_come(known, now):
        known = format_time(now)
    if not plan.is_tight:
        recorded = read_capacity(old, target.name)
        looks_anew = plan.capacity is None and recorded is not None and recorded.surge is not None
        return known or (format_time(now) if looks_anew else None)
    if plan.waits_for_leaving or not plan.replicas.get(target.name):
        return None
    return known or format_time(now)
