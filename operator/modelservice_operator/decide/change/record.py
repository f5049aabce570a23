"""How status keeps the progress of a rollout, and how it is read back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelservice_operator.decide.rollout.model import Progress
from modelservice_operator.facts.text.times import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LONGEST_MESSAGE = 1024


def read_progress(status: Mapping[str, Any]) -> Progress | None:
    """Return what `status.rollout` has recorded, None where that is nothing."""
    known = status.get("rollout") or {}
    if not known.get("revision"):
        return None
    analysis = known.get("analysis") or {}
    return Progress(
        revision=str(known["revision"]),
        evaluation=known.get("evaluation"),
        evaluation_hash=known.get("evaluationHash") or "",
        evaluation_retries=known.get("evaluationRetries") or 0,
        evaluated_sha256=known.get("evaluatedSha256") or "",
        contract=known.get("contract"),
        verifying_since=parse_time(known.get("verifyingSince")),
        steps_hash=known.get("stepsHash") or "",
        index=known.get("step") or 0,
        since=parse_time(known.get("stepSince")),
        short_since=parse_time(known.get("shortSince")),
        skips=bool(known.get("skipsSteps")),
        stable_down_since=parse_time(known.get("stableDownSince")),
        promoted=bool(known.get("promoted")),
        paused=known.get("paused"),
        paused_since=parse_time(known.get("pausedSince")),
        run=analysis.get("run") or "",
        measured=analysis.get("measured") or 0,
        failed=analysis.get("failed") or 0,
        inconclusive=analysis.get("inconclusive") or 0,
        measured_at=parse_time(analysis.get("measuredAt")),
        reason=known.get("reason") or "",
        message=known.get("message") or "",
        previous=known.get("previousRevision"),
        promoted_at=parse_time(known.get("promotedAt")),
    )


def write_progress(progress: Progress) -> dict[str, Any]:
    """Return the reverse of `read_progress`, without fields that say nothing."""
    analysis = {
        "run": progress.run,
        "measured": progress.measured,
        "failed": progress.failed,
        "inconclusive": progress.inconclusive,
        "measuredAt": _text(progress.measured_at),
    }
    fields = {
        "revision": progress.revision,
        "evaluation": progress.evaluation,
        "evaluationHash": progress.evaluation_hash or None,
        "evaluationRetries": progress.evaluation_retries or None,
        "evaluatedSha256": progress.evaluated_sha256 or None,
        "contract": progress.contract,
        "verifyingSince": _text(progress.verifying_since),
        "stepsHash": progress.steps_hash or None,
        "step": progress.index if progress.steps_hash else None,
        "stepSince": _text(progress.since) if progress.steps_hash else None,
        "shortSince": _text(progress.short_since),
        "skipsSteps": progress.skips or None,
        "stableDownSince": _text(progress.stable_down_since),
        "promoted": progress.promoted or None,
        "paused": progress.paused,
        "pausedSince": _text(progress.paused_since),
        "analysis": {name: value for name, value in analysis.items() if value is not None}
        if progress.run
        else None,
        "reason": progress.reason or None,
        "message": progress.message[:LONGEST_MESSAGE] or None,
        "previousRevision": progress.previous,
        "promotedAt": _text(progress.promoted_at),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _text(time: datetime | None) -> str | None:
    return format_time(time) if time else None
